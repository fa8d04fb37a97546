"""Bad luck amid a build: one clear line, its exit code, nothing half-made, nobody left running."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.make.image.console import FAILURES, explain

from .conftest import CACHE

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 1800  # the first of these may have to make the laboratory DVD


def processes_of(folder: Path) -> list[int]:
    """Return the processes whose command line names a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes() and int(path.parent.name) != _own_pid():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def _own_pid() -> int:
    return int(Path("/proc/self").readlink().name)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unlucky")


@pytest.fixture
def started(build: Path) -> Iterator[subprocess.Popen[str]]:
    """A build whose guest is running."""
    serial = build / "clasificado-laboratorio" / "logs" / "console-install.log"
    serial.unlink(missing_ok=True)  # of the build before
    argv = [sys.executable, "-m", "builder.cli", "image", "clasificado"]
    with (
        (build / "stderr").open("w") as stderr,
        subprocess.Popen(
            [*argv, "--build", str(build), "--cache", str(CACHE)],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not (serial.exists() and "laboratorio:" in serial.read_text(errors="replace")):
                assert process.poll() is None, (build / "stderr").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.5)
            yield process
        finally:
            process.kill()


def qemu_of(build: Path) -> int:
    (pid,) = [
        pid
        for pid in processes_of(build)
        if b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    ]
    return pid


def check_ended(process: subprocess.Popen[str], build: Path, code: int, said: str) -> None:
    assert process.wait(60) == code
    stderr = (build / "stderr").read_text()
    assert "Traceback" not in stderr
    assert said in stderr.strip().splitlines()[-1]
    deadline = time.monotonic() + 10
    while processes_of(build) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(build) == []
    folder = build / "clasificado-laboratorio"
    assert not list(folder.glob("*.qcow2"))
    assert not list(folder.glob("*.vhdx"))
    assert not list(folder.glob(".image-*"))
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(started: subprocess.Popen[str], build: Path, number: signal.Signals) -> None:
    started.send_signal(number)
    check_ended(started, build, 130, "interrupted")


def test_qemu_is_killed(started: subprocess.Popen[str], build: Path) -> None:
    assert "unchanged" in (build / "stderr").read_text()  # the medium of the interrupted run stays good
    subprocess.run(["kill", "-KILL", str(qemu_of(build))], check=True)
    check_ended(started, build, 5, "before the installation was complete")  # to Packer, all is well


def test_we_are_killed_ourselves(started: subprocess.Popen[str], build: Path) -> None:
    started.kill()
    started.wait()
    deadline = time.monotonic() + 15
    while processes_of(build) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(build) == []
    assert not list((build / "clasificado-laboratorio").glob("*.qcow2"))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["FORJA ERROR: línea 8: false"], "línea 8: false"),
        (["FORJA FIN: la instalación ha fallado", "laboratorio: ERROR: no disk"], "no disk"),
        (["[    1.0] Kernel panic - not syncing: VFS"], "[    1.0] Kernel panic - not syncing: VFS"),
        (
            ["anaconda 33: Traceback (most recent call last):"],
            "anaconda 33: Traceback (most recent call last):",
        ),
    ],
)
def test_the_reason_of_a_failed_installation_is_its_most_telling_line(lines: list[str], reason: str) -> None:
    assert all(any(pattern.search(line) for pattern in FAILURES) for line in lines)
    assert explain(lines) == reason
