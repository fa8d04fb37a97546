"""Virus signatures brought offline: ClamAV's databases, checked before they go onto a medium.

A CVD is a header of 512 bytes and a compressed tar. The header holds the tar's MD5 and ClamAV's RSA signature
of that digest; both are checked here as libclamav's `cvd.c` and `dsig.c` do, so that the build host needs no
ClamAV. What freshclam patches by itself (.cld) has no signature, and is refused.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from builder.tools.errors import BadInput

NAMES = ("main", "daily", "bytecode")
NEEDED = ("main", "daily")
HEADER_SIZE = 512
MAGIC = b"ClamAV-VDB:"
CHUNK = 4 * 1024 * 1024

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
"""Digits of the signature, base 64, the least significant first."""
MODULUS = int(
    "11864099555164534260307000165845318975152777441202774374659940574324314260746414476736106064065584474976"
    "07888900222834249227624889175655510024677711096695981894104346990345322322286215910895081785914284562207"
    "96841621637175567590476666928698770143328137383952820383197532047771780196576957695822641224262693037"
)
EXPONENT = 100001027


@dataclass(frozen=True)
class Key:
    """A public RSA key; ClamAV's is the default everywhere."""

    modulus: int = MODULUS
    exponent: int = EXPONENT


CLAMAV = Key()


@dataclass(frozen=True)
class Database:
    """A database of signatures that ClamAV has signed."""

    name: str
    path: Path
    version: int
    count: int
    built: datetime

    def age(self, now: datetime) -> int:
        """Return its age in whole days; none is younger than today."""
        return max(0, (now - self.built).days)


def read_signatures(folder: Path, *, key: Key = CLAMAV) -> list[Database]:
    """Return the databases in a folder, each whole and signed by ClamAV.

    Raises:
        BadInput: main.cvd or daily.cvd is missing, one is damaged, or ClamAV has not signed it.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder", hint="give the one that holds main.cvd and daily.cvd")
    for name in NEEDED:
        if not (folder / f"{name}.cvd").is_file():
            patched = folder / f"{name}.cld"
            raise BadInput(
                f"{folder} holds no {name}.cvd",
                hint=f"{patched.name} is freshclam's patched copy, which nobody has signed: bring the .cvd"
                if patched.exists()
                else "bring main.cvd, daily.cvd and bytecode.cvd as ClamAV publishes them",
            )
    paths = [folder / f"{name}.cvd" for name in NAMES]
    return [read_database(path, key=key) for path in paths if path.is_file()]


def read_database(path: Path, *, key: Key = CLAMAV) -> Database:
    """Return what a CVD is, once its digest and signature are checked.

    Raises:
        BadInput: it can't be read, is no CVD, is damaged, is not signed by `key`, or holds another database.
    """
    try:
        with path.open("rb") as file:
            header = file.read(HEADER_SIZE)
            digest = hashlib.md5(usedforsecurity=False)
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}") from error
    fields = header.decode("ascii", "replace").rstrip(" \n\0").split(":")
    if not header.startswith(MAGIC) or len(header) < HEADER_SIZE or len(fields) < 8:
        raise BadInput(f"{path} is no CVD of ClamAV", hint="a download page in HTML? look at its first line")
    md5, signature = fields[5:7]
    if digest.hexdigest() != md5:
        raise BadInput(f"{path} is damaged: its content is not what its header says", hint="bring it again")
    if decode_signature(signature, key) != int(md5, 16):
        raise BadInput(
            f"{path} is not signed by ClamAV", hint="bring it again, from ClamAV or a mirror of it"
        )
    name, line = read_info(path)
    if name != path.stem:
        raise BadInput(f"{path} holds the database '{name}'", hint="give the files their own names")
    try:
        _, built, version, count, *rest = line.rstrip().split(":")
        return Database(name, path, int(version), int(count), _time(built, rest))
    except ValueError as error:
        raise BadInput(f"{path} does not say its version and date: '{line[:80]}'") from error


def decode_signature(text: str, key: Key) -> int | None:
    """Return the number that a signature was made of, or None if it is none."""
    if not re.fullmatch(r"[A-Za-z0-9+/]+", text):
        return None
    number = sum(ALPHABET.index(digit) << 6 * place for place, digit in enumerate(text))
    return pow(number, key.exponent, key.modulus)


def read_info(path: Path) -> tuple[str, str]:
    """Return the name of a database, and the line of its .info file that says what it is.

    That line is the header again, but inside the tar: it is signed, and the header is not.
    """
    try:
        with path.open("rb") as file:
            file.seek(HEADER_SIZE)
            with tarfile.open(fileobj=file, mode="r|*") as archive:
                for member in archive:
                    if member.name.endswith(".info"):
                        content = archive.extractfile(member)
                        line = content.readline(HEADER_SIZE).decode("ascii", "replace") if content else ""
                        return member.name.removesuffix(".info"), line
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadInput(f"{path} can't be unpacked: {error}", hint="bring it again") from error
    return "", ""


def list_signatures(databases: Sequence[Database], now: datetime) -> list[str]:
    """Return a line for people on each database."""
    return [
        f"{database.name:9} version {database.version:<7} {database.built:%Y-%m-%d} "
        f"({database.age(now)} days old)  {database.count} signatures"
        for database in databases
    ]


def _time(text: str, rest: Sequence[str]) -> datetime:
    # The last field is the same in seconds since 1970; old databases lack it.
    if rest and rest[-1].isdigit():
        return datetime.fromtimestamp(int(rest[-1]), UTC)
    return datetime.strptime(text, "%d %b %Y %H-%M %z").astimezone(UTC)
