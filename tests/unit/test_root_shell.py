"""The root shell that the tests of an image ask: here a shell of this host."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.shell import RootShell


@pytest.fixture
def shell() -> Iterator[RootShell]:
    shell = RootShell(["sh"])
    yield shell
    shell.close()


def test_no_hash_comes_out_of_a_guest(shell: RootShell, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    assert openssl
    made = [
        subprocess.run([openssl, "passwd", kind, "prueba"], capture_output=True, text=True, check=True).stdout
        for kind in ("-6", "-1")
    ]
    made.append("grub.pbkdf2.sha512.10000." + "0A" * 64 + "." + "1B" * 64 + "\n")
    for number, secret in enumerate(made):
        (tmp_path / "secret").write_text(f"root:{secret}:after\n")
        for where in ("1", "2"):
            said = shell.run(f"cat {tmp_path}/secret >&{where}; exit {number}")
            assert said.rc == number
            assert (said.stdout if where == "1" else said.stderr) == "root:(hash)\n:after\n"


def test_what_only_looks_like_a_hash_is_left(shell: RootShell) -> None:
    text = "$6$ $1 grub.pbkdf2.sha512.10000 /^\\$6\\$/"
    assert shell.run(f"printf %s '{text}'").stdout == text
