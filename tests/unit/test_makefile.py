"""The Makefile: its help, and what reaches forja from make's variables."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OURS = ("PROFILE", "ISO", "UPDATES", "SITE", "FIRMWARE", "BUILD", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")


def make(*words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in OURS}
    argv = ["make", "--no-print-directory", *words]
    return subprocess.run(argv, cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def forja(tmp_path: Path) -> str:
    """A program in the place of forja that prints its arguments, one a line, and ends with 3."""
    path = tmp_path / "print arguments"
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 3\n')
    path.chmod(0o755)
    return f"FORJA='{path}'"


def test_help_is_the_default_and_names_every_target() -> None:
    shown = make().stdout
    assert shown == make("help").stdout
    described = re.findall(r"(?m)^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text())
    assert {"image", "test", "test-mail", "check", "doctor", "setup", "clean"} <= set(described)
    for target in described:
        assert re.search(rf"(?m)^  make {target} +[A-Z]", shown), target


def test_the_laboratory_is_built_when_no_medium_is_given(forja: str) -> None:
    done = make("image", forja, "SETUP=echo set-up")
    assert done.stdout.splitlines() == ["set-up image lab", "image", "clasificado"]


def test_paths_with_blanks_and_quotes_reach_forja_whole(forja: str) -> None:
    given = {
        "ISO": "/srv/my isos/rhel 8.3.iso",
        "UPDATES": "it's here",
        "SITE": 'a "site".toml',
        "BUILD": "/tmp/a b; touch c",
    }
    words = [f"{name}={value}" for name, value in given.items()]
    done = make("image", forja, "SETUP=echo set-up", "PROFILE=ens-alta", "FIRMWARE=uefi", *words)
    assert done.stdout.splitlines() == [
        *("set-up image", "image", "ens-alta"),
        *("--iso", given["ISO"], "--updates", given["UPDATES"], "--site", given["SITE"]),
        *("--firmware", "uefi", "--build", given["BUILD"]),
    ]


def test_a_bundle_is_what_the_variables_say(forja: str) -> None:
    done = make("bundle", forja, "SETUP=echo set-up", "KEY=AB CD", "SPLIT=4G", "OUTPUT=/mnt/a stick")
    assert done.stdout.splitlines() == [
        *("set-up image lab", "bundle", "--key", "AB CD", "--split", "4G", "--output", "/mnt/a stick")
    ]
    done = make("bundle", forja, "SETUP=echo set-up", "UNSIGNED=1", "NEEDS=image test")
    assert done.stdout.splitlines() == ["set-up image", "bundle", "--unsigned", "--needs", "image", "test"]


def test_the_exit_code_that_make_hides_is_printed(forja: str) -> None:
    done = make("image", forja, "SETUP=true")
    assert done.returncode == 2  # make's own, whatever failed
    assert "forja ended with exit code 3" in done.stderr


def test_nothing_is_built_on_a_host_that_could_not_be_set_up(forja: str) -> None:
    done = make("image", forja, "SETUP=false")
    assert done.returncode == 2
    assert done.stdout == ""


def test_a_dry_run_sets_nothing_up() -> None:
    shown = make("-n", "image", "ISO=/a b.iso").stdout
    assert "builder/host/set-up.sh image" in shown
    assert '--iso "$ISO"' in shown
