"""Postfix's files as they are rendered, held against 3.3.1 and against each other; no Postfix is needed."""

from __future__ import annotations

import csv
import re
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from builder.ask.overlay import FOLDER, read_overlay
from builder.ask.plan import Plan, make_plan
from builder.ask.profile import profile_names
from builder.ask.site import EXAMPLE
from builder.make.overlay import collect_members

PLATFORMS = ["rhel-8.3", "laboratorio"]
CHECKS = "/etc/postfix/mime_header_checks"
OF_SERVICES = {"policyd-spf_time_limit"}
"""Parameters named after a service of master.cf (spawn(8)): Postfix knows them by it, no table has them."""


def render(plan: Plan) -> dict[str, str]:
    """Return path on the target -> content."""
    return {
        member.path: member.content.decode() for member in collect_members(plan) if member.content is not None
    }


@pytest.fixture(scope="module", params=product(profile_names(), PLATFORMS), ids="-".join)
def files(request: pytest.FixtureRequest) -> dict[str, str]:
    profile, platform = request.param
    return render(make_plan(profile, None, platform))


def known_parameters() -> set[str]:
    with (FOLDER / "postfix" / "parameters-3.3.1.tsv").open() as file:
        rows = {row["parameter"] for row in csv.DictReader(file, delimiter="\t")}
    return rows | OF_SERVICES


def parameters(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.match(r"[a-z0-9][A-Za-z0-9_-]* =( \S.*)?$", line) for line in lines)
    return [(key.strip(), value.strip()) for key, _, value in (line.partition("=") for line in lines)]


def services(text: str) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Return the services of master.cf, and their -o options as (name, value)."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    options = [line.strip() for line in lines if line.startswith("  -")]
    rest = {line.split()[0] for line in lines if line.startswith(" ")}
    assert rest <= {"-o", "user=policyd-spf"}
    assert all(re.fullmatch(r"-o [a-z0-9_]+=\S*", option) for option in options), (
        "3.3.1 takes no blanks in -o"
    )
    pairs = [option.removeprefix("-o ").partition("=") for option in options]
    return [line.split() for line in lines if not line.startswith(" ")], [
        (name, value) for name, _, value in pairs
    ]


def test_the_table_is_whole() -> None:
    assert len(known_parameters() - OF_SERVICES) == 885
    assert "smtpd_forbid_bare_newline" not in known_parameters()


def test_every_name_exists_in_3_3_1_and_stands_once(files: dict[str, str]) -> None:
    main = parameters(files["/etc/postfix/main.cf"])
    _, options = services(files["/etc/postfix/master.cf"])
    assert {name for name, _ in main} <= known_parameters()
    assert {name for name, _ in options} <= known_parameters()
    assert [name for name, count in Counter(name for name, _ in main).items() if count > 1] == []


def test_values_are_of_3_3_1(files: dict[str, str]) -> None:
    main = dict(parameters(files["/etc/postfix/main.cf"]))
    assert main["compatibility_level"] == "2"
    for name, value in main.items():
        assert not re.match(r"[<>]=?", value), f"{name}: 3.3.1 takes no {value}"
        if name.endswith(("_tls_protocols", "_tls_mandatory_protocols")):
            assert value == "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"
    for side in ("smtpd", "smtp", "lmtp"):
        assert {f"{side}_tls_protocols", f"{side}_tls_mandatory_protocols"} <= set(main)
    named = {word for word in main["tls_ssl_options"].split(", ") if not word.startswith("0x")}
    assert named <= {"NO_COMPRESSION", "NO_TICKET", "LEGACY_SERVER_CONNECT"}
    assert not re.search(r"allowlist|denylist", files["/etc/postfix/main.cf"])
    for grade in ("medium", "low", "export"):  # all that a TLS policy may name
        assert main[f"tls_{grade}_cipherlist"] == "$tls_high_cipherlist"


def test_relay_control_is_in_both_lists(files: dict[str, str]) -> None:
    main = dict(parameters(files["/etc/postfix/main.cf"]))
    relay, recipient = main["smtpd_relay_restrictions"], main["smtpd_recipient_restrictions"]
    assert relay.endswith("permit_mynetworks, reject_unauth_destination")
    before, policy, after = recipient.partition(", check_policy_service unix:private/policyd-spf")
    assert before.endswith("permit_mynetworks, reject_unauth_destination")
    assert policy
    assert after == ""
    assert "0.0.0.0/0" not in main["mynetworks"]


def test_every_daemon_says_whether_it_is_jailed(files: dict[str, str]) -> None:
    found, options = services(files["/etc/postfix/master.cf"])
    free = {"local", "virtual", "pipe", "spawn", "proxymap"}
    for service in found:
        assert len(service) == 8
        assert service[4] == ("n" if service[7] in free else "y"), service[0]
    assert ["smtp", "inet", "n", "-", "y", "-", "1", "postscreen"] in found
    assert not {"qmqpd", "oqmgr", "postlogd"} & {service[7] for service in found}
    assert [service[0] for service in found if service[7] == "spawn"] == ["policyd-spf"]
    assert options.count(("smtpd_sasl_auth_enable", "yes")) == 1
    assert ("smtpd_tls_security_level", "encrypt") in options


def test_mount_units_are_named_after_their_place(files: dict[str, str]) -> None:
    units = {path: text for path, text in files.items() if path.endswith(".mount")}
    assert len(units) == 2
    for path, text in units.items():
        where = re.search(r"^Where=/(.*)$", text, re.MULTILINE)
        assert where
        assert "-" not in where[1]
        assert path.endswith(f"/{where[1].replace('/', '-')}.mount")
        drop_in = next(text for path, text in files.items() if path.endswith("/10-forja.conf"))
        assert f"/{where[1]}" in drop_in


def test_lock_is_the_pin(files: dict[str, str]) -> None:
    pin = next(name for name in read_overlay("postfix").packages if name.startswith("postfix-"))
    lock = [
        line for line in files["/etc/dnf/plugins/versionlock.list"].splitlines() if not line.startswith("#")
    ]
    assert lock == [f"postfix-2:{pin.removeprefix('postfix-')}.*"]


def test_no_alias_ends_at_root(files: dict[str, str]) -> None:
    aliases = dict(re.findall(r"^([\w-]+):\s+(\S+)$", files["/etc/aliases"], re.MULTILINE))
    for name in aliases:
        end = name
        while end in aliases:
            end = aliases[end]
        assert end == "administrador"
    assert {"postmaster", "root", "abuse"} <= set(aliases)


def as_python(pattern: str) -> str:
    """Return a POSIX expression as Python writes it."""
    return pattern.replace("[.[:space:]]", r"[.\s]").replace("[[:space:]]", r"\s")


def verdict(table: str, line: str) -> bool:
    """Return whether a regexp: table rejects a header, its first if being a guard of all."""
    rules = re.findall(r"^(if )?/(.*)/( REJECT .*)?$", table, re.MULTILINE)
    guards = [as_python(pattern.replace(r"\/", "/")) for guard, pattern, _ in rules if guard]
    tests = [as_python(pattern.replace(r"\/", "/")) for guard, pattern, _ in rules if not guard]
    assert len(tests) > 80
    return re.search(guards[0], line, re.IGNORECASE) is not None and any(
        re.search(test, line, re.IGNORECASE | re.DOTALL) for test in tests
    )


@pytest.mark.parametrize(
    ("header", "refused"),
    [
        ('Content-Disposition: attachment; filename="a.exe"', True),
        ("Content-Type: application/octet-stream; NAME=A.EXE", True),
        ("Content-Disposition: attachment;\n\tfilename=a.scr", True),
        ("Content-Disposition: attachment; filename*=utf-8''a%2Ejs", True),
        ("Content-Disposition: attachment; filename*=utf-8''a%2e%65x%65", True),
        ('Content-Disposition: attachment; filename*0="a.e"; filename*1="xe"', True),
        ('Content-Disposition: attachment; filename*0="a"; filename*1=".vbs"', True),
        ("Content-Disposition: attachment; filename*0*=utf-8''a; filename*1=.e; filename*2=xe", True),
        ('Content-Type: text/x; name="=?utf-8?Q?a=2Ehta?="', True),
        ('Content-Disposition: attachment; filename="a.exe. "', True),
        ('Content-Disposition: attachment; filename="a;b.lnk"', True),
        ('Content-Disposition: attachment; filename="a.exe::$DATA"', True),
        ('Content-Disposition: attachment; filename="a.settingcontent-ms"', True),
        ('Content-Type: message/partial; id="1"; number=1', True),
        ('Content-Disposition: attachment; filename="informe.pdf"', False),
        ('Content-Disposition: attachment; filename="www.ejemplo.com.pdf"', False),
        ('Content-Disposition: attachment; filename="datos.exe.txt"', False),
        ('Content-Disposition: attachment; filename="certificado.cer"', False),
        ('Content-Type: multipart/mixed; boundary="=_name.exe"', False),
        ("Content-Disposition: attachment; filename*0*=utf-8''informaci%C3%B3n; filename*1=.docx", False),
        ("Content-Type: text/plain; charset=utf-8", False),
        ('Subject: name="a.exe"', False),
    ],
)
def test_names_of_attachments(files: dict[str, str], header: str, refused: bool) -> None:
    assert verdict(files[CHECKS], header) is refused


def test_site_decides_route_and_certificate(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert 'relayhost = "[mx.ejemplo.es]:25"\n' in text
    text = text.replace('relayhost = "[mx.ejemplo.es]:25"\n', "message_limit_mib = 200\n")
    text += '\n[[mail.routes]]\ndomain = "ejemplo.es"\nnext_hop = "[buzones.ejemplo.es]:2525"\n'
    text += '\n[tls]\ncertificate = "c.pem"\nkey = "k.pem"\nca = "ca.pem"\n'
    (tmp_path / "site.toml").write_text(text, encoding="utf-8")
    for name in ("c.pem", "k.pem", "ca.pem"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    plan = make_plan("clasificado", tmp_path / "site.toml", "rhel-8.3")
    files = render(plan)
    main = dict(parameters(files["/etc/postfix/main.cf"]))
    assert main["relayhost"] == ""
    routes = re.findall(r"^[^#].*", files["/etc/postfix/transport"], re.MULTILINE)
    assert routes == ["ejemplo.es relay:[buzones.ejemplo.es]:2525"]
    assert main["smtpd_tls_CAfile"] == "/etc/pki/tls/certs/forja-ca.pem"
    assert files[main["smtpd_tls_CAfile"]] == "ca.pem"
    assert files[main["smtpd_tls_cert_file"]] == "c.pem"
    assert files[main["smtpd_tls_key_file"]] == "k.pem"
    key = next(member for member in collect_members(plan) if member.path == main["smtpd_tls_key_file"])
    assert (key.mode, key.owner) == (0o600, "root:root")
    assert int(main["mailbox_size_limit"]) > int(main["message_size_limit"]) == 200 * 1048576
