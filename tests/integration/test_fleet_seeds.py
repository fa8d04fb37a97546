"""The seeds of a fleet, as a person makes them for a closed image: one a server, or none at all."""

from __future__ import annotations

import csv
import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.ask.plan import make_plan
from builder.ask.site import EXAMPLE
from builder.make.overlay import write_overlay
from builder.room import Room

from .conftest import REPOSITORY, Run, forja

COUNT = 500
HEAD = "host.name,network.address,network.gateway,mail.relayhost,tls.certificate,tls.key"


def name_of(number: int) -> str:
    return f"relay{number:04d}.ejemplo.es"


def address_of(number: int) -> str:
    return f"10.{40 + number // 200}.{number % 200}.10"


def row_of(number: int) -> str:
    files = "certs/uno.pem,certs/uno.key" if number == 0 else ","
    return f"{name_of(number)},{address_of(number)}/24,{address_of(number)[:-1]},[mx9.ejemplo.es]:25,{files}"


def write_table(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "servidores.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a closed image's build leaves, as far as seeds need it."""
    plan = make_plan("clasificado", None, "rhel-8.3", closed=True).without_server
    room = Room(tmp_path_factory.mktemp("imagen"), plan)
    write_overlay(plan, room.path("overlay"))
    room.path("plan").write_text(plan.model_dump_json(), encoding="utf-8")
    return room.folder


@dataclass(frozen=True)
class Made:
    """The folder of seeds, and the run that made it."""

    folder: Path
    run: Run


@pytest.fixture(scope="module")
def fleet(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """500 seeds in one call; the first server brings its certificate."""
    folder = tmp_path_factory.mktemp("semillas")
    (folder / "certs").mkdir()
    for name in ("uno.pem", "uno.key"):
        (folder / "certs" / name).write_text(f"el archivo {name}\n")
    table = write_table(folder, *map(row_of, range(COUNT)))
    run = forja("seed", image, "--fleet", table, "--output", folder / "out", cwd=folder)
    assert run.code == 0, run.stderr[-3000:]
    return Made(folder / "out", run)


def unpack(seed: Path, folder: Path) -> dict[str, bytes]:
    """Return what a seed makes on its server, path -> content; xorriso reads it, sha256sum checks it."""
    folder.mkdir()
    argv = ["xorriso", "-osirrox", "on", "-indev", seed, "-extract", "/", folder]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    for path in folder.iterdir():
        path.rename(path.with_name(path.name.lower()))
    subprocess.run(
        ["sha256sum", "--check", "--strict", "sumas.txt"], cwd=folder, check=True, capture_output=True
    )
    rows = [line.split("\t") for line in (folder / "semilla.txt").read_text().splitlines() if "\t" in line]
    return {path: (folder / source).read_bytes() for _, _, source, path in rows if source not in ("-", "/")}


def test_500_seeds_each_its_servers_own(fleet: Made) -> None:
    names = {f"{name_of(number)}.semilla.iso" for number in range(COUNT)}
    assert {path.name for path in fleet.folder.iterdir()} == {"index.csv", "machines.csv", *names}
    for number in range(COUNT):
        raw = (fleet.folder / f"{name_of(number)}.semilla.iso").read_bytes()
        assert raw[16 * 2048 : 16 * 2048 + 6] == b"\x01CD001"
        assert f"servidor {name_of(number)}\n".encode() in raw
        assert address_of(number).encode() in raw


def test_a_seed_read_by_others_holds_what_its_line_says(fleet: Made, tmp_path: Path) -> None:
    for number in range(0, COUNT, 71):
        made = unpack(fleet.folder / f"{name_of(number)}.semilla.iso", tmp_path / str(number))
        assert made["/etc/hostname"].decode().strip() == name_of(number)
        network = made["/etc/sysconfig/network-scripts/ifcfg-eth0"].decode()
        assert f"IPADDR={address_of(number)}\n" in network.replace('"', "")
        main = made["/etc/postfix/main.cf"].decode()
        assert f"myhostname = {name_of(number)}\n" in main
        assert "relayhost = [mx9.ejemplo.es]:25\n" in main
        brought = made.get("/etc/pki/tls/private/forja-postfix.key")
        assert brought == (b"el archivo uno.key\n" if number == 0 else None)


def test_the_index_and_the_list_of_machines(fleet: Made) -> None:
    assert fleet.run.stdout == f"{fleet.folder / 'index.csv'}\n"
    assert {path.stat().st_mode & 0o777 for path in fleet.folder.iterdir()} == {0o600}
    tables = {}
    for name in ("index.csv", "machines.csv"):
        with (fleet.folder / name).open(encoding="utf-8", newline="") as file:
            tables[name] = list(csv.DictReader(file))
    index, machines = tables["index.csv"], tables["machines.csv"]
    assert [row["Name"] for row in index] == [name_of(number) for number in range(COUNT)]
    assert [row["Address"] for row in index] == [address_of(number) for number in range(COUNT)]
    for row in index:
        assert row["SHA256"] == hashlib.sha256((fleet.folder / row["Seed"]).read_bytes()).hexdigest()
    assert machines == [{"Name": row["Name"], "Seed": row["Seed"]} for row in index]
    # The script that makes the machines refuses a column that it does not know.
    script = (REPOSITORY / "packer" / "New-ForjaVM.ps1").read_text(encoding="utf-8-sig")
    known = next(line for line in script.splitlines() if line.startswith("$Columns = "))
    assert all(f"'{column}'" in known for column in machines[0])


def test_a_seed_of_a_fleet_is_the_seed_of_its_site_file(fleet: Made, image: Path, tmp_path: Path) -> None:
    number = 123
    site = EXAMPLE.read_text(encoding="utf-8")
    for old, new in (
        ("relay.ejemplo.es", name_of(number)),
        ("10.20.30.10/24", f"{address_of(number)}/24"),
        ('"10.20.30.1"', f'"{address_of(number)[:-1]}"'),
        ("[mx.ejemplo.es]", "[mx9.ejemplo.es]"),
    ):
        assert old in site
        site = site.replace(old, new)
    (tmp_path / "uno.toml").write_text(site, encoding="utf-8")
    run = forja("seed", image, tmp_path / "uno.toml", "--output", tmp_path, cwd=tmp_path)
    assert run.code == 0, run.stderr
    name = f"{name_of(number)}.semilla.iso"
    assert (tmp_path / name).read_bytes() == (fleet.folder / name).read_bytes()


def test_every_seed_is_signed(image: Path, tmp_path: Path) -> None:
    key, public = tmp_path / "clave.pem", tmp_path / "publica.pem"
    for argv in (
        ["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", key],
        ["openssl", "ec", "-in", key, "-pubout", "-out", public],
    ):
        subprocess.run(argv, check=True, capture_output=True)
    table = write_table(tmp_path, *map(row_of, range(1, 4)))
    words = ["--fleet", table, "--output", tmp_path / "out", "--sign-key", key]
    run = forja("seed", image, *words, cwd=tmp_path)
    assert run.code == 0, run.stderr
    for number in range(1, 4):
        folder = tmp_path / str(number)
        unpack(tmp_path / "out" / f"{name_of(number)}.semilla.iso", folder)
        argv = ["openssl", "dgst", "-sha384", "-verify", public, "-signature", "firma.bin", "sumas.txt"]
        subprocess.run(argv, cwd=folder, check=True, capture_output=True)


def test_what_no_seed_can_bring_is_refused_with_its_line(image: Path, tmp_path: Path) -> None:
    table = write_table(
        tmp_path,
        "a.ejemplo.es,10.40.1.10/24,10.40.1.1,",
        "b.ejemplo.es,10.40.1.11/24,10.40.1.1,otro",
        head="host.name,network.address,network.gateway,admin.user",
    )
    run = forja("seed", image, "--fleet", table, cwd=tmp_path)
    assert run.code == 2
    assert f"{table}: line 3: admin.user: not as in the image" in run.stderr
    assert f"1 line of {table} can't be used; nothing was written" in run.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["servidores.csv"]


def test_neither_site_nor_fleet_and_both_are_refused(image: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path, row_of(1))
    for words in ([], [tmp_path / "uno.toml", "--fleet", table], [tmp_path / "uno.toml", "--site", table]):
        run = forja("seed", image, *words, cwd=tmp_path)
        assert run.code == 2
        assert "needs a SITE or more, or --fleet CSV" in run.stderr.splitlines()[-1]
