"""A fleet in one go, as a person makes it: 500 servers from a table, or nothing at all."""

from __future__ import annotations

import csv
import hashlib
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion

from builder.ask.site import EXAMPLE

from .conftest import REPOSITORY, Run, forja

PATIENCE_SECONDS = 240
COUNT = 500
HEAD = "host.name;network.address;network.gateway;mail.relayhost;admin.full_name"
PROGRAM = [sys.executable, "-m", "builder.cli"]


@dataclass(frozen=True)
class Asked:
    """What the table says of a server."""

    name: str
    address: str
    gateway: str
    person: str


def write_table(folder: Path, count: int) -> dict[str, Asked]:
    """Write `servidores.csv` as a Spanish Excel does; return what it says, by name."""
    servers = [
        Asked(
            f"relay{number:04d}.ejemplo.es",
            f"10.{40 + number // 200}.{number % 200}.10",
            f"10.{40 + number // 200}.{number % 200}.1",
            f"Núria {number}",
        )
        for number in range(count)
    ]
    hops = ("", "[mx9.ejemplo.es]:25")
    rows = [
        f"{one.name};{one.address}/24;{one.gateway};{hops[number % 2]};{one.person}"
        for number, one in enumerate(servers)
    ]
    (folder / "servidores.csv").write_bytes(
        b"\xef\xbb\xbf" + "".join(f"{row}\r\n" for row in [HEAD, *rows]).encode()
    )
    return {one.name: one for one in servers}


def own_reading(path: Path) -> dict[str, list[list[str]]]:
    """Return the commands of a kickstart, read by nothing of Forja's or pykickstart's: name -> arguments."""
    commands: dict[str, list[list[str]]] = {}
    inside = False
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r"%(pre|post|onerror|packages|addon)\b", line):
            assert not inside, path
            inside = True
        elif line == "%end":
            assert inside, path
            inside = False
        elif not inside and line and not line.startswith(("#", "%include")):
            name, *arguments = shlex.split(line)
            commands.setdefault(name, []).append(arguments)
    assert not inside, path
    return commands


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def index(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True)
class Made:
    """A fleet's kickstarts, the run that made them and what was asked for."""

    folder: Path
    run: Run
    asked: dict[str, Asked]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """500 servers in one call."""
    folder = tmp_path_factory.mktemp("flota")
    asked = write_table(folder, COUNT)
    words = ["kickstart", "clasificado", "--fleet", folder / "servidores.csv", "--output", folder / "out"]
    run = forja(*words, cwd=folder)
    assert run.code == 0, run.stderr[-3000:]
    return Made(folder / "out", run, asked)


def test_500_kickstarts_each_its_servers_own(fleet: Made) -> None:
    assert len(fleet.asked) == COUNT
    assert {path.name for path in fleet.folder.iterdir()} == {
        "index.csv",
        *(f"{name}.ks" for name in fleet.asked),
    }
    for name, asked in fleet.asked.items():
        commands = own_reading(fleet.folder / f"{name}.ks")
        (network,) = commands["network"]
        assert {f"--hostname={name}", f"--ip={asked.address}", f"--gateway={asked.gateway}"} <= set(network)
        assert "--netmask=255.255.255.0" in network
        assert f"--gecos={asked.person}" in commands["user"][0]
        assert len(commands["user"]) == 3
        assert commands["rootpw"] == [["--lock"]]


def test_they_are_valid_for_rhel_8_by_pykickstart_itself(fleet: Made) -> None:
    for name, asked in list(fleet.asked.items())[::25]:
        text = (fleet.folder / f"{name}.ks").read_text(encoding="utf-8")
        storage = re.search(r"(?ms)^cat > /tmp/forja-storage.ks <<'STORAGE'\n(.*?)^STORAGE$", text)
        assert storage is not None
        filled = storage[1].replace("@DISK@", "sda").replace("@SOURCE@", "cdrom")
        parser = KickstartParser(makeVersion("RHEL8"))
        parser.readKickstartFromString(text.replace("%include /tmp/forja-storage.ks\n", filled))
        (network,) = parser.handler.network.network
        assert (network.hostname, network.ip, network.gateway) == (name, asked.address, asked.gateway)
        assert parser.handler.logvol.lvList


def test_nobody_else_may_read_them(fleet: Made) -> None:
    assert fleet.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in fleet.folder.iterdir()} == {0o600}


def test_the_index_names_every_server_in_the_tables_order(fleet: Made) -> None:
    rows = index(fleet.folder)
    assert list(rows[0]) == ["Name", "Address", "Kickstart", "SHA256"]
    assert [(row["Name"], row["Address"]) for row in rows] == [
        (asked.name, asked.address) for asked in fleet.asked.values()
    ]
    for row in rows:
        assert row["SHA256"] == digest(fleet.folder / row["Kickstart"])


def test_it_says_what_it_did_and_where(fleet: Made) -> None:
    assert fleet.run.stdout == f"{fleet.folder / 'index.csv'}\n"
    assert re.search(
        r"(?m)^  500 kickstarts in [\d.]+ s: \d+ a second, \d+ process(es)?$", fleet.run.stderr
    ), fleet.run.stderr
    assert "\x1b" not in fleet.run.stderr


def test_one_processor_writes_the_same_bytes(fleet: Made, tmp_path: Path) -> None:
    asked = write_table(tmp_path, 60)
    argv = [*PROGRAM, "kickstart", "clasificado", "--fleet", "servidores.csv", "--output", "out"]
    done = subprocess.run(
        argv,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert ", 1 process\n" in done.stderr
    assert [row["SHA256"] for row in index(tmp_path / "out")] == [
        row["SHA256"] for row in index(fleet.folder)[: len(asked)]
    ]


def test_a_server_of_a_fleet_has_the_kickstart_that_it_has_alone(fleet: Made, tmp_path: Path) -> None:
    name, asked = list(fleet.asked.items())[7]
    site = EXAMPLE.read_text(encoding="utf-8")
    for old, new in (
        ('name = "relay.ejemplo.es"', f'name = "{name}"'),
        ('address = "10.20.30.10/24"', f'address = "{asked.address}/24"'),
        ('gateway = "10.20.30.1"', f'gateway = "{asked.gateway}"'),
        ('relayhost = "[mx.', 'relayhost = "[mx9.'),
        ('full_name = "Administrador del sistema"', f'full_name = "{asked.person}"'),
    ):
        assert old in site
        site = site.replace(old, new)
    (tmp_path / "sitio.toml").write_text(site, encoding="utf-8")
    words = ["--site", tmp_path / "sitio.toml", "--output", tmp_path / "uno.ks"]
    assert forja("kickstart", "clasificado", *words, cwd=tmp_path).code == 0
    assert (tmp_path / "uno.ks").read_bytes() == (fleet.folder / f"{name}.ks").read_bytes()


def test_bad_lines_are_all_named_and_nothing_is_written(tmp_path: Path) -> None:
    write_table(tmp_path, 80)
    table = tmp_path / "servidores.csv"
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    lines[5] = lines[5].replace("relay0004.ejemplo.es", "relay 4")
    lines[30] = lines[30].replace("10.40.29.1;", "10.41.29.1;")
    lines[70] = lines[69]
    table.write_text("\n".join(lines), encoding="utf-8")
    run = forja("kickstart", "clasificado", "--fleet", table, cwd=tmp_path)
    assert run.code == 2
    assert "Traceback" not in run.stderr
    said = [line.strip() for line in run.stderr.splitlines() if f"{table}: line" in line]
    assert said == [
        f"{table}: line 6, host.name: must be a domain name such as ejemplo.es",
        f"{table}: line 31, network: gateway 10.41.29.1 is not in 10.40.29.0/24",
        f"{table}: line 71, host.name: line 70 has the same",
        f"{table}: line 71, network.address: line 70 has the same",
    ]
    assert run.stderr.splitlines()[-1].startswith(
        f"error: 3 lines of {table} can't be used; nothing was written"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["servidores.csv"]


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    write_table(tmp_path, 3)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    words = ["kickstart", "clasificado", "--fleet", "servidores.csv", "--output", "out"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [*PROGRAM, *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "out is there already" in done.stderr
    assert (tmp_path / "out" / "mine").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "servidores.csv"]


def test_where_no_folder_can_be_is_one_line(tmp_path: Path) -> None:
    write_table(tmp_path, 3)
    table = tmp_path / "servidores.csv"
    run = forja("kickstart", "clasificado", "--fleet", table, "--output", table / "out", cwd=tmp_path)
    assert run.code == 2
    assert "Traceback" not in run.stderr
    assert f"{table / 'out'} can't be written: " in run.stderr.splitlines()[-1]


def test_a_full_disk_is_told_before_and_leaves_nothing(tmp_path: Path) -> None:
    write_table(tmp_path, 40)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        words = ["--fleet", tmp_path / "servidores.csv", "--output", small / "out"]
        run = forja("kickstart", "clasificado", *words, cwd=tmp_path)
        assert run.code == 4
        assert "MiB free" in run.stderr.splitlines()[-1]
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_terminal_shows_a_bar(tmp_path: Path) -> None:
    write_table(tmp_path, 40)
    ours, its = pty.openpty()
    argv = [*PROGRAM, "kickstart", "clasificado", "--fleet", "servidores.csv", "--output", "out"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm"}
    with subprocess.Popen(argv, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=its) as process:
        os.close(its)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        assert process.wait(PATIENCE_SECONDS) == 0
    os.close(ours)
    assert b"\r  [" + b"#" * 30 + b"] 40 of 40 kickstarts" in shown


def _hear_sigint() -> None:
    """A job of nohup's, and all that it starts, would not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A fleet that is being written: some of it is there, in a folder that is not the final one."""
    write_table(tmp_path, 2000)
    argv = [*PROGRAM, "kickstart", "clasificado", "--fleet", "servidores.csv", "--output", "out"]
    with subprocess.Popen(
        argv,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_hear_sigint,  # noqa: PLW1509 - no threads here
    ) as process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not list(tmp_path.glob(".out-*/*.ks")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process
        process.kill()


def to_all(process: subprocess.Popen[str]) -> None:
    """As a terminal does when Ctrl-C is typed."""
    os.killpg(process.pid, signal.SIGINT)


def to_one(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)


def to_end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("stop", [to_all, to_one, to_end])
def test_interrupted_it_leaves_no_folder_and_nobody(
    running: subprocess.Popen[str], tmp_path: Path, stop: Callable[[subprocess.Popen[str]], None]
) -> None:
    stop(running)
    _, said = running.communicate(timeout=PATIENCE_SECONDS)
    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("interrupted")
    assert [path.name for path in tmp_path.iterdir()] == ["servidores.csv"]
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="one processor: no workers")
def test_a_worker_that_is_killed_is_an_error_and_leaves_nothing(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    _, said = running.communicate(timeout=PATIENCE_SECONDS)
    assert running.returncode == 5, said
    assert "Traceback" not in said
    assert "a process of ours was killed" in said.strip().splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["servidores.csv"]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="one processor: no workers")
def test_killed_itself_it_leaves_nobody_running_and_no_final_folder(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    running.kill()
    running.communicate(timeout=PATIENCE_SECONDS)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(running.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("workers are running still")
    assert not (tmp_path / "out").exists()
