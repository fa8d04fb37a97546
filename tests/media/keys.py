"""OpenPGP keys that sign the RPMs of test media; made on each machine, and never kept in the repository."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .programs import run


@dataclass(frozen=True)
class Key:
    """A signing key without a passphrase."""

    home: Path
    """GnuPG's home folder, which holds the private key."""
    fingerprint: str
    """40 hexadecimal digits, in capitals."""
    public: Path
    """The public key, armoured, as `rpm --import` reads it."""


def make_key(home: Path, name: str) -> Key:
    """Return a new RSA key of 3072 bits in a GnuPG home of its own, which is made."""
    home.mkdir(parents=True, mode=0o700, exist_ok=True)
    user = f"{name} <{name.lower().replace(' ', '-')}@ejemplo.es>"
    with short_home(home) as gnupg:
        run_gpg(gnupg, "--passphrase", "", "--quick-gen-key", user, "rsa3072", "sign", "never")
        public = home / "public.asc"
        public.write_text(run_gpg(gnupg, "--armor", "--export"), encoding="ascii")
    return read_key(home)


def read_key(home: Path) -> Key:
    """Return the key of a home that `make_key` made."""
    public = home / "public.asc"
    shown = run("gpg", "--homedir", home, "--batch", "--with-colons", "--show-keys", public)
    fingerprint = next(line.split(":")[9] for line in shown.splitlines() if line.startswith("fpr:"))
    return Key(home, fingerprint, public)


@contextlib.contextmanager
def short_home(home: Path) -> Iterator[Path]:
    """Give a home by a path short enough for the agent's socket (108 bytes); its agent ends with it."""
    with tempfile.TemporaryDirectory(prefix="gpg-") as folder:
        link = Path(folder) / "h"
        link.symlink_to(home.resolve())
        try:
            yield link
        finally:
            run("gpgconf", "--homedir", link, "--kill", "all")


def run_gpg(home: Path, *words: str) -> str:
    """Run gpg in a home and return what it prints."""
    return run("gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", *words)


def write_trusting_site(folder: Path, example: Path, key: Key, *, packages: Sequence[str] = ("*",)) -> Path:
    """Return a copy of a site file that trusts a key, as the organisation's own, for packages by name."""
    shutil.copyfile(key.public, folder / "clave.asc")
    names = ", ".join(f'"{name}"' for name in packages)
    trust = f'file = "clave.asc"\nfingerprint = "{key.fingerprint}"\npackages = [{names}]\n'
    site = folder / "sitio.toml"
    text = example.read_text(encoding="utf-8")
    site.write_text(f"{text}\n[[packages.own_keys]]\n{trust}", encoding="utf-8")
    return site
