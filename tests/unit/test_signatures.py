"""Virus signatures: whole and signed ones are taken, and nothing else. The key is the test's own."""

from __future__ import annotations

import hashlib
import io
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from builder.make.signatures import ALPHABET, CLAMAV, HEADER_SIZE, Key, list_signatures, read_signatures
from builder.tools.errors import BadInput

# Two Mersenne primes: nothing secret.
P, Q = 2**521 - 1, 2**607 - 1
OWN = Key(P * Q, 65537)
PRIVATE = pow(OWN.exponent, -1, (P - 1) * (Q - 1))
BUILT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def encode(number: int) -> str:
    digits = ""
    while number:
        digits += ALPHABET[number % 64]
        number //= 64
    return digits


def make_cvd(path: Path, *, info: str = "", name: str = "") -> Path:
    line = info or f"ClamAV-VDB:{BUILT:%d %b %Y %H-%M} +0000:27000:42:63:X:X:prueba:{BUILT.timestamp():.0f}"
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for member, content in {"COPYING": "", f"{name or path.stem}.info": f"{line}\nx:1:2\n"}.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    body = held.getvalue()
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    signature = encode(pow(int(md5, 16), PRIVATE, OWN.modulus))
    header = f"ClamAV-VDB:01 Jan 2020 00-00 +0000:1:2:63:{md5}:{signature}:prueba:1577836800"
    path.write_bytes(header.encode().ljust(HEADER_SIZE) + body)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("main", "daily", "bytecode"):
        make_cvd(tmp_path / f"{name}.cvd")
    return tmp_path


def test_whole_signatures_are_taken(folder: Path) -> None:
    found = read_signatures(folder, key=OWN)
    assert [(item.name, item.version, item.count) for item in found] == [
        ("main", 27000, 42),
        ("daily", 27000, 42),
        ("bytecode", 27000, 42),
    ]
    assert {item.built for item in found} == {BUILT}
    assert "(9 days old)" in list_signatures(found, BUILT + timedelta(days=9, hours=1))[1]
    assert found[0].age(BUILT - timedelta(days=2)) == 0


def test_bytecode_may_be_missing_and_a_date_without_seconds_is_read(folder: Path) -> None:
    (folder / "bytecode.cvd").unlink()
    make_cvd(folder / "daily.cvd", info="ClamAV-VDB:01 Mar 2026 08-30 -0400:27000:42:63:X:X:prueba")
    assert [item.built for item in read_signatures(folder, key=OWN)] == [BUILT, BUILT]


def test_what_clamav_has_not_signed_is_refused(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"main\.cvd is not signed by ClamAV"):
        read_signatures(folder, key=CLAMAV)


def test_one_bit_is_enough_to_refuse(folder: Path) -> None:
    path = folder / "daily.cvd"
    whole = path.read_bytes()
    for place in (HEADER_SIZE, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(BadInput, match=r"daily\.cvd is damaged"):
            read_signatures(folder, key=OWN)
    path.write_bytes(whole[:-1])
    with pytest.raises(BadInput, match=r"daily\.cvd is damaged"):
        read_signatures(folder, key=OWN)


def test_a_header_made_to_fit_is_refused(folder: Path) -> None:
    path = folder / "daily.cvd"
    body = path.read_bytes()[HEADER_SIZE:] + b"x"
    fields = path.read_bytes()[:HEADER_SIZE].decode().rstrip().split(":")
    fields[5] = hashlib.md5(body, usedforsecurity=False).hexdigest()
    path.write_bytes(":".join(fields).encode().ljust(HEADER_SIZE) + body)
    with pytest.raises(BadInput, match="not signed"):
        read_signatures(folder, key=OWN)


@pytest.mark.parametrize("content", [b"", b"<html>", b"ClamAV-VDB:", b"ClamAV-VDB:" + b"x" * 600])
def test_what_is_no_cvd_is_refused(folder: Path, content: bytes) -> None:
    (folder / "main.cvd").write_bytes(content)
    with pytest.raises(BadInput, match=r"main\.cvd is no CVD"):
        read_signatures(folder, key=OWN)


def test_a_database_under_another_name_is_refused(folder: Path) -> None:
    make_cvd(folder / "main.cvd", name="bytecode")
    with pytest.raises(BadInput, match="holds the database 'bytecode'"):
        read_signatures(folder, key=OWN)


def test_what_is_missing_is_named(folder: Path) -> None:
    (folder / "daily.cvd").rename(folder / "daily.cld")
    with pytest.raises(BadInput, match=r"holds no daily\.cvd.*bring the \.cvd"):
        read_signatures(folder, key=OWN)
    with pytest.raises(BadInput, match="is no folder"):
        read_signatures(folder / "nothing", key=OWN)


def test_the_signed_date_counts_and_not_the_header(folder: Path) -> None:
    assert b"01 Jan 2020" in (folder / "daily.cvd").read_bytes()[:HEADER_SIZE]
    assert {item.built for item in read_signatures(folder, key=OWN)} == {BUILT}
    make_cvd(folder / "daily.cvd", info="una linea cualquiera")
    with pytest.raises(BadInput, match="does not say its version"):
        read_signatures(folder, key=OWN)
