"""The set-up, in clones of its own: from nothing, again, without a network, and after bad luck."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("builder", "kickstarts", "overlays", "requirements.lock", "Makefile")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in a folder whose name holds a blank, set up once."""
    folder = tmp_path_factory.mktemp("set up") / "a clone"
    folder.mkdir()
    for name in PARTS:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    done = set_up(folder)
    assert done.returncode == 0, done.stderr
    assert "making the virtual environment" in done.stderr
    return folder


def set_up(folder: Path, *before: str) -> subprocess.CompletedProcess[str]:
    argv = [*before, str(folder / "builder/host/set-up.sh"), "image"]
    return subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def without_network() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--net"]


def test_the_command_runs_this_clones_code(clone: Path) -> None:
    code = "import builder, pykickstart.version, sys; print(builder.__file__, sys.prefix)"
    python = clone / ".venv/bin/python"
    done = subprocess.run([python, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == f"{clone}/builder/__init__.py {clone}/.venv"
    shown = subprocess.run(
        [clone / ".venv/bin/forja", "--help"], cwd="/", capture_output=True, text=True, check=True
    )
    assert "image" in shown.stdout


def test_a_second_set_up_is_instant_and_asks_for_no_network(clone: Path) -> None:
    began = time.monotonic()
    done = set_up(clone, *without_network())
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["set-up: nothing to do: packages (image) and .venv are in place"]
    assert time.monotonic() - began < 10


def test_a_half_made_environment_is_made_again_and_says_why_it_can_not(clone: Path) -> None:
    """Without a network pip fails: exit code 4, the reason, and no stamp that the next run would trust."""
    stamp = clone / ".venv" / ".forja-complete"
    shutil.rmtree(next((clone / ".venv/lib").glob("python3*/site-packages/jinja2")))
    mark = stamp.read_text()
    done = set_up(
        clone,
        *without_network(),
        "env",
        "PIP_RETRIES=0",
        "PIP_TIMEOUT=3",
        "PIP_NO_CACHE_DIR=1",
        "PIP_FIND_LINKS=",
    )
    assert done.returncode == 4
    assert "pip could not install" in done.stderr
    assert not stamp.exists()
    again = set_up(clone)
    assert again.returncode == 0, again.stderr
    assert stamp.read_text() == mark


def test_a_package_that_is_not_what_the_lock_says_is_refused(clone: Path) -> None:
    lock = clone / "builder/host/build-tools.lock"
    honest = lock.read_text()
    lock.write_text(honest.replace("sha256:ca", "sha256:cb"))
    try:
        done = set_up(clone)
    finally:
        lock.write_text(honest)
    assert done.returncode == 4
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_what_is_not_known_is_refused() -> None:
    script = REPOSITORY / "builder/host/set-up.sh"
    for words in ([], ["everything"]):
        done = subprocess.run([script, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 2
