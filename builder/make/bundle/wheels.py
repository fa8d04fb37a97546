"""The Python packages of the locks, for every Python that runs the builder, on Debian 12 and RHEL 8 and 9."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from builder.tools.console import say
from builder.tools.errors import HostUnready
from builder.tools.process import Argument, run

PYTHONS = ("3.11", "3.12", "3.13")
LOCKS = ("builder/host/build-tools.lock", "requirements.lock")
PLATFORMS = (
    # RHEL 8 has glibc 2.28; whoever has a later one takes these too.
    *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)),
    *(f"manylinux{name}_x86_64" for name in ("2014", "2010", "1")),
)
PIP_SECONDS = 1800


def fetch_python(repository: Path, cache: Path, *, log: Path) -> list[Path]:
    """Return the files that pip needs on the host without a network, each held against its hash.

    What is published as source only stays source: its hash is the one in the lock, and what builds it is in
    `build-tools.lock`.

    Args:
        repository: where the locks are.
        cache: keeps them; a set for the same locks is not fetched again.
        log: where pip's output goes.

    Raises:
        HostUnready: this Python has no pip.
        StageFailed: pip could not fetch one.
    """
    locks = [repository / name for name in LOCKS]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in locks) + " ".join(PYTHONS).encode())
    folder = cache / f"python-{digest.hexdigest()[:16]}"
    if not folder.is_dir():
        _fetch(locks, folder, log=log)
    files = sorted(folder.iterdir())
    say(f"{len(files)} files for Python {', '.join(PYTHONS)}")
    return files


def _fetch(locks: list[Path], folder: Path, *, log: Path) -> None:
    pip: list[Argument] = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    if run([*pip, "--version"], doing="look for pip", accept=range(256)).returncode:
        raise HostUnready(f"{sys.executable} has no pip", hint="run 'make setup', and use .venv/bin/forja")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    try:
        for python in PYTHONS:
            say(f"for Python {python}")
            for lock in locks:
                argv: list[Argument] = [*pip, "download", "--no-deps", "--require-hashes", "--use-pep517"]
                argv += ["--no-build-isolation", "--python-version", python, "--implementation", "cp"]
                argv += [*platforms, "--dest", partial, "--requirement", lock]
                doing = f"fetch the Python packages of {lock.name}"
                run(argv, doing=doing, log=log, env=_reach(), timeout=PIP_SECONDS)
        for old in folder.parent.glob("python-*"):
            if old != partial:
                shutil.rmtree(old)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _reach() -> dict[str, str]:
    """Return the variables that say how this host reaches PyPI."""
    names = {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or name.lower().endswith("_proxy") or name in names
    }
