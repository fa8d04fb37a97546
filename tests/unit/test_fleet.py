"""The table of a fleet: what Excel and people write is read; what is wrong is named by line and column."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import replace
from pathlib import Path

import pytest

from builder.ask.fleet import Fleet, columns, read_fleet
from builder.ask.plan import read_draft
from builder.ask.reading import REPOSITORY
from builder.ask.site import EXAMPLE, Site, read_site
from builder.fleet import INDEX, SHOWN, kickstarts_of, write_fleet
from builder.tools import console, parallel
from builder.tools.errors import BadInput, StageFailed
from builder.tools.parallel import spread
from tests.unit.test_docs import rows

HEAD = "host.name;network.address;network.gateway"
KEYS = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMZOCqeFhrMIZJd+NFsJXyDnNvKRateDkdd1SOkl7Ndb una",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7sZcZL4QJktW6jEoDRWL/2x0Zb6/QHdNJfHlGSwzV4 otra",
)


def read(folder: Path, text: str | bytes, base: Path | None = None) -> Fleet:
    path = folder / "servidores.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_fleet(path, base)


def refused(folder: Path, text: str | bytes) -> str:
    with pytest.raises(BadInput) as caught:
        read(folder, text)
    assert "servidores.csv" in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def problems(folder: Path, text: str) -> list[str]:
    return [str(problem) for problem in read(folder, text).problems]


def test_a_cell_takes_the_place_of_the_base_and_an_empty_one_leaves_it(tmp_path: Path) -> None:
    text = (
        f"{HEAD};mail.relayhost;mail.networks\na.ejemplo.es;10.1.0.5/24;10.1.0.1;;10.1.0.0/24 10.2.0.0/16\n"
    )
    fleet = read(tmp_path, text + "b.ejemplo.es;10.20.30.7/24;;[mx2.ejemplo.es]:25;\n")
    assert not fleet.problems
    one, two = (server.site for server in fleet.servers)
    base = read_site(None)
    assert (one.host.name, str(one.network.address), str(one.network.gateway)) == (
        *("a.ejemplo.es", "10.1.0.5/24", "10.1.0.1"),
    )
    assert [str(network) for network in one.mail.networks] == ["10.1.0.0/24", "10.2.0.0/16"]
    assert one.mail.relayhost == base.mail.relayhost
    assert two.mail.relayhost == "[mx2.ejemplo.es]:25"
    assert (two.network.gateway, two.mail.networks) == (base.network.gateway, base.mail.networks)
    assert one.admin == two.admin == base.admin
    assert [server.line for server in fleet.servers] == [2, 3]


@pytest.mark.parametrize("separator", [";", ","])
@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_as_excel_writes_it(tmp_path: Path, separator: str, end: str, mark: str) -> None:
    lines = [
        HEAD + ";;",
        "a.ejemplo.es;10.1.0.5/24; 10.1.0.1 ;;",
        ";;;;",
        "b.ejemplo.es;10.1.0.6/24;10.1.0.1;;",
    ]
    fleet = read(tmp_path, mark + end.join(line.replace(";", separator) for line in lines))
    assert not fleet.problems
    assert [(server.line, server.site.host.name) for server in fleet.servers] == [
        *((2, "a.ejemplo.es"), (4, "b.ejemplo.es")),
    ]


def test_cells_with_line_breaks_and_the_lines_after_them(tmp_path: Path) -> None:
    fleet = read(
        tmp_path,
        f'{HEAD};admin.ssh_keys\na.ejemplo.es;10.1.0.5/24;10.1.0.1;"{KEYS[0]}\n{KEYS[1]}"\n'
        f"b.ejemplo.es;10.1.0.6/24;10.1.0.1;{KEYS[1]} {KEYS[0]}\nc;10.1.0.7/24;10.1.0.1;\n",
    )
    assert [server.site.admin.ssh_keys for server in fleet.servers] == [KEYS, KEYS[::-1]]
    assert [server.line for server in fleet.servers] == [2, 4]
    assert [str(problem) for problem in fleet.problems] == [
        "line 5, host.name: must be a domain name such as ejemplo.es"
    ]


@pytest.mark.parametrize(
    ("word", "value"), [("VERDADERO", True), ("sí", True), ("true", True), ("FALSO", False), ("no", False)]
)
def test_yes_and_no_as_spanish_and_english_write_them(tmp_path: Path, word: str, value: bool) -> None:
    fleet = read(tmp_path, f"{HEAD};network.ipv6\na.ejemplo.es;10.1.0.5/24;10.1.0.1;{word}\n")
    assert fleet.servers[0].site.network.ipv6 is value


def test_any_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    chance = random.Random(681)
    for _ in range(25):
        servers = [
            (
                f"r{number}.ejemplo.es",
                f"10.{chance.randrange(256)}.{number}.{chance.randrange(2, 255)}",
                network,
            )
            for number in range(chance.randrange(1, 30))
            for network in [
                " ".join(f"10.9.{chance.randrange(256)}.0/24" for _ in range(chance.randrange(1, 4)))
            ]
        ]
        names = ["host.name", "network.address", "network.gateway", "mail.networks", "admin.full_name"]
        order = chance.sample(names, len(names))
        out = io.StringIO()
        rows = csv.writer(
            out,
            delimiter=chance.choice(",;"),
            quoting=chance.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
            lineterminator=chance.choice(["\r\n", "\n"]),
        )
        rows.writerow(order)
        for name, address, network in servers:
            gateway = f"{address.rpartition('.')[0]}.1"
            cells = dict(zip(names, [name, f"{address}/24", gateway, network, "Pérez, Ñandú"], strict=True))
            rows.writerow([cells[key] for key in order])
        fleet = read(tmp_path, chance.choice(["", "\ufeff"]) + out.getvalue())
        assert not fleet.problems
        assert [
            (
                server.site.host.name,
                str(server.site.network.address.ip),
                " ".join(map(str, server.site.mail.networks)),
            )
            for server in fleet.servers
        ] == servers
        assert {server.site.admin.full_name for server in fleet.servers} == {"Pérez, Ñandú"}


def test_all_that_is_wrong_is_named_by_line_and_column(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        f"{HEAD};mail.relayhost;mail.networks;tls.certificate;tls.key\n"
        "a.ejemplo.es;10.1.0.5/24;10.1.0.1;;;;\n"
        "b.ejemplo.es;10.1.0.5/16;10.1.0.1;;;;\n"
        "A.Ejemplo.es;10.1.0.6/24;10.2.0.1;[mx;0.0.0.0/0;no.pem;\n"
        ";;;;;;\n"
        ";10.1.0.7/24;10.1.0.1;;10.1.0.0/24 10.1.0.1/24;;\n",
    )
    assert found == [
        "line 3, network.address: line 2 has the same",
        "line 4, host.name: line 2 has the same",
        f"line 4, tls.certificate: the file {tmp_path / 'no.pem'} can't be read",
        "line 4, network: gateway 10.2.0.1 is not in 10.1.0.0/24",
        "line 4, mail.networks: holds 0.0.0.0/0, which would make an open relay",
        "line 4, mail.relayhost: must be a next hop such as [mx.ejemplo.es]:25",
        "line 4, tls: certificate and key must be given together",
        "line 6, host.name: is empty: each server has its own",
        "line 6, mail.networks: Input is not a valid IPv4 network",
    ]


def test_a_hash_is_never_repeated(tmp_path: Path) -> None:
    text = f"{HEAD};admin.password_hash\na.ejemplo.es;10.1.0.5/24;10.1.0.1;mipasswordenclaro\n"
    (said,) = problems(tmp_path, text)
    assert said.startswith("line 2, admin.password_hash: ")
    assert "mipasswordenclaro" not in said


def test_what_the_base_alone_has_wrong_is_said_once_and_of_the_base(tmp_path: Path) -> None:
    base = tmp_path / "base.toml"
    base.write_text(EXAMPLE.read_text().replace("[time]", "[tiempo]").replace('user = "adm', 'user = "Adm'))
    text = f"{HEAD}\na.ejemplo.es;10.1.0.5/24;10.1.0.1\nb.ejemplo.es;10.1.0.6/24;10.1.0.1\n"
    fleet = read(tmp_path, text, base)
    assert {(problem.line, problem.key) for problem in fleet.problems} == {(0, "tiempo"), (0, "admin.user")}
    assert len(fleet.problems) == 2


def test_the_base_needs_no_name_and_no_address(tmp_path: Path) -> None:
    base = tmp_path / "base.toml"
    kept = [line for line in EXAMPLE.read_text().splitlines() if not line.startswith(("name =", "address ="))]
    base.write_text("\n".join(kept).replace("[host]\n", ""))
    fleet = read(tmp_path, f"{HEAD}\na.ejemplo.es;10.1.0.5/24;10.1.0.1\n", base)
    assert not fleet.problems
    assert fleet.servers[0].site.host.name == "a.ejemplo.es"


def test_paths_in_cells_start_from_the_table(tmp_path: Path) -> None:
    for name in ("relay.pem", "relay.key"):
        (tmp_path / name).write_text("x")
    text = f"{HEAD};tls.certificate;tls.key\na.ejemplo.es;10.1.0.5/24;10.1.0.1;relay.pem;relay.key\n"
    fleet = read(tmp_path, text)
    assert not fleet.problems
    site = fleet.servers[0].site
    assert site.tls.key is not None
    assert (site.source / site.tls.key).read_text() == "x"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("host.name;network.adress", "no column 'network.adress'; did you mean network.address?"),
        ("host.name;address", "no column 'address'; did you mean network.address?"),
        ("host.name;network.address;mail.relay_host", "did you mean mail.relayhost?"),
        ("host.name;network.address;domain", "did you mean mail.domain?"),
        ("host.name;network.address;roles.user", "no column 'roles.user'"),
        ("host.name;network.address;zzzzzz", "docs/reference/fleet.md"),
        ("host.name;network.address;;mail.domain", "no column ''"),
        ("host.name;network.address;host.name", "the column host.name is there twice"),
        ("network.address;network.gateway", "there is no column host.name"),
        ("host.name;network.gateway", "there is no column network.address"),
        ("host.name", "there is no column network.address"),
    ],
)
def test_a_wrong_header_is_refused_with_what_was_meant(tmp_path: Path, header: str, said: str) -> None:
    assert said in refused(tmp_path, f"{header}\na.ejemplo.es;10.1.0.5/24\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no line with a server"),
        (f"{HEAD}\n", "has no line with a server"),
        (f"{HEAD}\n;;\n", "has no line with a server"),
        (f"{HEAD}\na.ejemplo.es;10.1.0.5/24\n", "line 2 has 2 cells, and the header 3"),
        (f"{HEAD}\na.ejemplo.es;10.1.0.5/24;10.1.0.1;x\n", "line 2 has 4 cells, and the header 3"),
        (f'{HEAD}\n"a.ejemplo.es;10.1.0.5/24;10.1.0.1\n', "line 2 is no line of a table"),
        (f'{HEAD}\n"a"b;10.1.0.5/24;10.1.0.1\n', "line 2 is no line of a table"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(tmp_path, text)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_another_encoding_is_refused_with_its_remedy(tmp_path: Path, encoding: str) -> None:
    text = f"{HEAD};admin.full_name\na.ejemplo.es;10.1.0.5/24;10.1.0.1;Núñez\n"
    said = refused(tmp_path, text.encode(encoding))
    assert f"line {2 if encoding == 'cp1252' else 1} is not UTF-8" in said
    assert "CSV UTF-8" in said


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadInput, match="can't be read"):
            read_fleet(path, None)


def test_every_column_is_explained_with_what_its_cells_hold() -> None:
    kinds = {"one": "a value", "list": "a list", "path": "a path", "paths": "paths", "yes or no": "yes or no"}
    documented = {
        cells[0].strip("` "): cells[1] for heading, cells in rows("fleet.md") if heading == "Columns"
    }
    assert documented == {name: kinds[kind] for name, kind in columns().items()}


def test_the_example_works(tmp_path: Path) -> None:
    fleet = read_fleet(REPOSITORY / "kickstarts" / "sites" / "flota-ejemplo.csv", None)
    assert not fleet.problems
    write_fleet(fleet, kickstarts_of(read_draft("clasificado", "rhel-8.3")), tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.ks"))) == len(fleet.servers) == 3
    assert (tmp_path / "out" / INDEX).exists()


def test_what_the_profile_lacks_is_a_problem_of_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"{HEAD};fips;admin.ssh_keys\na.ejemplo.es;10.1.0.5/24;10.1.0.1;;\n"
    fleet = read(tmp_path, text + "b.ejemplo.es;10.1.0.6/24;10.1.0.1;VERDADERO;\n")
    assert [(problem.line, problem.key) for problem in fleet.problems] == [(3, "")]
    base = tmp_path / "base.toml"
    routes = '[[mail.dns_lists]]\nzone = "zen.spamhaus.org"\n'
    base.write_text(EXAMPLE.read_text(encoding="utf-8") + routes, encoding="utf-8")
    fleet = read(tmp_path, f"{HEAD}\na.ejemplo.es;10.1.0.5/24;10.1.0.1\n", base)
    with pytest.raises(BadInput, match="1 line of"):
        write_fleet(fleet, kickstarts_of(read_draft("clasificado", "rhel-8.3")), tmp_path / "out")
    assert (
        "line 2: the site has mail.dns_lists, and clasificado allows no DNS lists" in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


def test_of_very_many_problems_the_first_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "".join(f"r{number};10.1.{number}.5/24;10.1.{number}.1\n" for number in range(SHOWN + 7))
    fleet = read(tmp_path, f"{HEAD}\n{lines}")
    with pytest.raises(BadInput, match=f"{SHOWN + 7} lines of"):
        write_fleet(fleet, kickstarts_of(read_draft("clasificado", "rhel-8.3")), tmp_path / "out")
    said = capsys.readouterr().err
    assert said.count(", host.name: ") == SHOWN
    assert "and 7 more" in said


@pytest.mark.parametrize("processors", [1, 3])
def test_a_file_that_can_not_be_made_ends_it_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: set(range(processors)))
    lines = "".join(f"r{number}.ejemplo.es;10.1.{number}.5/24;10.1.{number}.1\n" for number in range(70))
    fleet = read(tmp_path, f"{HEAD}\n{lines}")

    def write(site: Site, path: Path) -> None:
        path.write_text("x")
        if site.host.name == "r40.ejemplo.es":
            raise StageFailed("it is not valid", hint="a file that is gone")

    kind = replace(kickstarts_of(read_draft("clasificado", "rhel-8.3")), write=write)
    with pytest.raises(StageFailed) as caught:
        write_fleet(fleet, kind, tmp_path / "out")
    assert str(caught.value) == f"{fleet.table}: line 42: it is not valid; try that server alone"
    assert [path.name for path in tmp_path.iterdir()] == [fleet.table.name]


@pytest.mark.parametrize("processors", [1, 3])
def test_results_come_in_order_from_any_number_of_processes(
    monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: set(range(processors)))
    offset = 7
    assert list(spread(lambda number: number * 2 + offset, range(200))) == [n * 2 + 7 for n in range(200)]


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "PLAIN_SECONDS", 0.0)
    assert list(console.show_progress(iter("abc"), 3, "letters")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "1 of 3 letters\n2 of 3 letters\n3 of 3 letters\n"
