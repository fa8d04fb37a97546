"""Signing with a person's own OpenPGP key, by gpg; their agent asks for the passphrase."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from builder.tools.errors import BadInput
from builder.tools.process import Argument, require_program, run

FINGERPRINT_DIGITS = 40


def read_fingerprint(text: str) -> str:
    """Return the fingerprint of a key, without blanks and in capitals.

    Raises:
        BadInput: the text is none.
    """
    digits = "".join(text.split()).upper()
    if len(digits) != FINGERPRINT_DIGITS or set(digits) - set("0123456789ABCDEF"):
        raise BadInput(
            f"'{text}' is not the fingerprint of a key", hint="gpg --list-secret-keys shows its 40 digits"
        )
    return digits


def sign(path: Path, signature: Path, fingerprint: str, home: Path | None, *, what: str) -> None:
    """Write the detached, armoured signature of a file.

    Args:
        path, signature: the file, and where its signature goes.
        fingerprint: of the key that signs.
        home: GnuPG's folder with that key; None: the person's own.
        what: the file in the words of an error message ("the archive").

    Raises:
        HostUnready: gpg is not on this host.
        StageFailed: it did not sign.
    """
    require_program("gpg", purpose=f"signs {what}", package="gpg")
    who = ["--no-tty", "--local-user", f"{fingerprint}!", "--armor"]
    run(
        [*_gpg(home), *who, "--output", signature, "--detach-sign", path],
        doing=f"sign {what} with the key {fingerprint}",
        env=_variables(),
    )


def export_key(fingerprint: str, keyring: Path, home: Path | None) -> None:
    """Write the public part of a key that can sign here, as a key ring that gpgv reads.

    Raises:
        BadInput: there is no such secret key.
    """
    require_program("gpg", purpose="exports the public key", package="gpg")
    argv = [*_gpg(home), "--no-tty"]
    look = [*argv, "--list-secret-keys", fingerprint]
    if run(look, doing="look for the key", env=_variables(), accept=range(256)).returncode:
        raise BadInput(
            f"GnuPG has no secret key {fingerprint}", hint="gpg --list-secret-keys shows those it has"
        )
    argv += ["--export-options", "export-minimal", "--output", keyring, "--export", fingerprint]
    run(argv, doing="export the public key", env=_variables())


def _gpg(home: Path | None) -> list[Argument]:
    of: list[Argument] = ["--homedir", home] if home else []
    return ["gpg", "--batch", *of]


def _variables() -> dict[str, str]:
    variables = {name: os.environ[name] for name in ("GNUPGHOME",) if name in os.environ}
    with contextlib.suppress(OSError):
        variables["GPG_TTY"] = os.ttyname(0)  # where gpg-agent asks for the passphrase
    return variables
