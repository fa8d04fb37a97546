"""The VHDX of an image: by the rules of [MS-VHDX], by libvhdi's reading, and never a wrong one."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import pyvhdi

from builder.make.image import convert_to_vhdx
from builder.tools.errors import StageFailed
from builder.tools.files import MIB
from builder.tools.process import find_program
from builder.tools.vhdx import HEADERS, REGION_TABLES, check_vhdx, crc32c

SIZE = 9 * 1024 * MIB
"""Past two chunks of 4 GiB, so that entries of the sector bitmap lie between those of the blocks."""
WRITTEN = (0, 3 * MIB - 512, 4095 * MIB, 4096 * MIB, 8192 * MIB + 4096, SIZE - 65536)
LENGTH = 65536
TABLE, METADATA = 2 * MIB, 3 * MIB
"""Where qemu-img puts the block allocation table and the metadata region."""
ITEMS = METADATA + 65536
DYNAMIC = 3


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk written here and there."""
    path = tmp_path_factory.mktemp("disco") / "disco.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, str(SIZE)], check=True)
    words = [
        word
        for number, start in enumerate(WRITTEN, 1)
        for word in ("-c", f"write -q -P {number} {start} {LENGTH}")
    ]
    subprocess.run(["qemu-io", "-f", "qcow2", *words, path], check=True)
    return path


@pytest.fixture(scope="module")
def good(image: Path) -> Path:
    return convert_to_vhdx(image, image.with_suffix(".vhdx"), log=image.with_suffix(".log"))


@pytest.fixture
def damaged(good: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copy(good, tmp_path / "disco.vhdx"))


def check(path: Path) -> None:
    check_vhdx(path, size=SIZE, block=MIB)


def change(path: Path, at: int, new: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(len(new))
        assert old != new, "nothing would be changed"
        file.seek(at)
        file.write(new)


def seal(path: Path, start: int, length: int) -> None:
    """Give a structure that was changed the checksum that it then needs."""
    data = bytearray(path.read_bytes()[start : start + length])
    data[4:8] = bytes(4)
    change(path, start + 4, struct.pack("<I", crc32c(bytes(data))))


def test_the_checksum_is_castagnolis() -> None:
    """RFC 3720, appendix B.4, and the usual check value."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_libvhdi_reads_the_same_disk(good: Path) -> None:
    disk = pyvhdi.file()
    disk.open(str(good))
    assert disk.get_disk_type() == DYNAMIC
    assert (disk.get_media_size(), disk.get_bytes_per_sector()) == (SIZE, 512)
    assert disk.get_parent_identifier() is None
    for number, start in enumerate(WRITTEN, 1):
        assert disk.read_buffer_at_offset(LENGTH, start) == bytes([number]) * LENGTH
    assert disk.read_buffer_at_offset(MIB, 16 * MIB) == bytes(MIB)
    disk.close()


def test_the_file_is_little_more_than_what_was_written(good: Path) -> None:
    assert good.stat().st_size < 20 * MIB


def test_qemu_still_finds_nothing_wrong(good: Path) -> None:
    subprocess.run(["qemu-img", "check", "-q", "-f", "vhdx", good], check=True)


def test_regions_are_required_and_sectors_are_of_4_kib(good: Path) -> None:
    data = good.read_bytes()[: 4 * MIB]
    for start in REGION_TABLES:
        assert [struct.unpack_from("<I", data, start + 16 + 32 * number + 28)[0] for number in (0, 1)] == [
            1,
            1,
        ]
    assert [struct.unpack_from("<I", data, ITEMS + at)[0] for at in (0x20, 0x24)] == [512, 4096]


DAMAGE: Mapping[str, tuple[int, bytes, str]] = {
    "file type": (0, b"V", "vhdxfile"),
    "header 1": (HEADERS[0] + 20, b"\xa5\x5a", "header 1 is damaged"),
    "header 2": (HEADERS[1] + 4095, b"\x01", "header 2 is damaged"),
    "region table 1": (REGION_TABLES[0] + 16, b"\x00", "region table"),
    "region table 2": (REGION_TABLES[1] + 40000, b"\x01", "region table"),
    "metadata table": (METADATA + 2, b"x", "metadata table"),
    "metadata entry": (METADATA + 32 + 3, b"\x00", "none of a plain disk"),
    "block size": (ITEMS + 2, b"\x20", "block size"),
    "fixed": (ITEMS + 4, b"\x01", "flags"),
    "has a parent": (ITEMS + 4, b"\x02", "flags"),
    "size": (ITEMS + 8 + 4, b"\x03", "size"),
    "logical sector": (ITEMS + 0x20, struct.pack("<I", 4096), "logical sector"),
    "physical sector": (ITEMS + 0x24, struct.pack("<I", 512), "physical sector"),
    "identity": (ITEMS + 0x10, bytes(16), "page 83"),
    "a block's state": (TABLE, b"\x00", "entry 0"),
    "a block's place": (TABLE + 2, b"\x90", "blocks overlap"),
    "a block over another": (TABLE + 8 + 2, b"\x80", "entry 1"),
    "a zero block's state": (TABLE + 8, b"\x00", "entry 1"),
    "a bitmap": (TABLE + 8 * 4096, b"\x06", "entry 4096"),
    "past the disk": (TABLE + 8 * 9300, b"\x02", "entry 9300"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_one_wrong_byte_is_seen(what: str, damaged: Path) -> None:
    check(damaged)
    at, new, said = DAMAGE[what]
    change(damaged, at, new)
    with pytest.raises(StageFailed, match=f"not as Hyper-V wants it: .*{said}"):
        check(damaged)


def log_in_use(path: Path) -> None:
    change(path, HEADERS[1] + 48, b"\x11" * 16)
    seal(path, HEADERS[1], 4096)


def unknown_region(path: Path) -> None:
    for start in REGION_TABLES:
        change(path, start + 16, b"\x11" * 16)
        seal(path, start, 65536)


def region_on_another(path: Path) -> None:
    for start in REGION_TABLES:
        change(path, start + 16 + 16, struct.pack("<Q", MIB))
        seal(path, start, 65536)


def shorter(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - MIB)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(MIB))


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 512)


WRONGS: Mapping[Callable[[Path], None], str] = {
    log_in_use: "log has to be replayed",
    unknown_region: "not BAT and metadata",
    region_on_another: "lies on another",
    shorter: "outside the file",
    longer: "belong to nothing",
    cut: "no whole MiB",
}


@pytest.mark.parametrize("spoil", WRONGS)
def test_what_no_checksum_tells_is_seen(spoil: Callable[[Path], None], damaged: Path) -> None:
    spoil(damaged)
    with pytest.raises(StageFailed, match=WRONGS[spoil]):
        check(damaged)


LIARS = {
    "structure": (TABLE, 0, "is not as Hyper-V wants it"),
    "content": (8 * MIB + 4096, 0, "could not compare both"),
}


@pytest.mark.parametrize("what", LIARS)
def test_a_wrong_one_never_gets_its_name(
    what: str, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real qemu-img, whose result is damaged by one byte before anybody looks at it."""
    at, byte, said = LIARS[what]
    liar = tmp_path / "bin" / "qemu-img"
    liar.parent.mkdir()
    liar.write_text(
        f"""#!/bin/sh
"{find_program("qemu-img")}" "$@" || exit
[ "$1" = convert ] || exit 0
for last; do :; done
printf '\\{byte:03o}' | dd of="$last" bs=1 seek={at} conv=notrunc status=none
"""
    )
    liar.chmod(0o755)
    monkeypatch.setenv("PATH", f"{liar.parent}:/usr/sbin:/usr/bin:/sbin:/bin")
    path = tmp_path / "salida" / "disco.vhdx"
    with pytest.raises(StageFailed, match=said):
        convert_to_vhdx(image, path, log=tmp_path / "vhdx.log")
    assert list(path.parent.iterdir()) == []
