"""The golden image that the long tests share: built once, by the command that a person types."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.ask.plan import Plan
from builder.ask.site import EXAMPLE
from builder.room import Room
from tests.media.keys import Key, write_trusting_site
from tests.media.rhel83 import Kit, make_kit

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD, CACHE = REPOSITORY / "build", REPOSITORY / ".cache"
BUILD_SECONDS = 4000


@dataclass(frozen=True)
class Run:
    """How a command of ours ended, and what it said."""

    code: int
    stdout: str
    stderr: str


def forja(*words: str | Path, cwd: Path = REPOSITORY, timeout: float = BUILD_SECONDS) -> Run:
    """Run `forja` as a person does."""
    argv = [sys.executable, "-m", "builder.cli", *map(str, words)]
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout)
    return Run(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Golden:
    """The image, with the run that built it."""

    room: Room
    run: Run

    @property
    def plan(self) -> Plan:
        return self.room.plan


@pytest.fixture(scope="session")
def golden() -> Golden:
    """`forja image clasificado` with the laboratory medium; what is unchanged since the last run stays."""
    run = forja("image", "clasificado", "--build", BUILD, "--cache", CACHE, "--lang", "en")
    assert run.code == 0, run.stderr[-4000:] + run.stdout[-2000:]
    return Golden(Room.at(BUILD / "clasificado-laboratorio"), run)


@pytest.fixture(scope="session")
def kit() -> Kit:
    """A DVD like RHEL 8.3's and its updates, made by the tests: in half a minute once, then cached."""
    return make_kit(CACHE)


@pytest.fixture(scope="session")
def signing_key(kit: Kit) -> Key:
    """The key that signed every RPM of the kit."""
    return kit.key


@pytest.fixture(scope="session")
def dvd(kit: Kit) -> Path:
    """The DVD of the kit; it does not boot (`rhel83.make_variant(..., boot=ISO)` does)."""
    return kit.dvd


@pytest.fixture(scope="session")
def erratum(kit: Kit) -> Path:
    """The updates: the pinned Postfix, libicu, a Postfix too new, and others, with advisories."""
    return kit.erratum


@pytest.fixture(scope="session")
def rhel_site(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site file that trusts the kit's key for every package."""
    return write_trusting_site(tmp_path_factory.mktemp("sitio"), EXAMPLE, kit.key)
