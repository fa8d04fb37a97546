"""The medium boots: BIOS and UEFI, as a DVD and as a USB stick, to the kernel that is told of its kickstart.

The DVD is laid out as RHEL 8.3's, with the loaders and the kernel of the laboratory's.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from builder.request import Request, find_laboratory_dvd
from builder.tools.machine import Console, FirmwareKind, describe_machine
from builder.tools.process import run, start
from tests.integration.conftest import CACHE, Golden, forja
from tests.media.rhel83 import Kit, make_variant

LABEL = "RHEL-8-3-0-BaseOS-x86_64"
WORDS = f"inst.stage2=hd:LABEL={LABEL} inst.ks=hd:LABEL={LABEL}:/forja/clasificado.ks"
BOOT_SECONDS = 300  # 20 s on an idle host without KVM, 10 of them the menu's; never a measure of speed

DISC = ("-drive", "file={medium},if=ide,index=0,media=cdrom,format=raw,readonly=on", "-boot", "d")
STICK = (
    *("-drive", "file={medium},if=none,id=stick,format=raw,readonly=on"),
    *("-device", "qemu-xhci", "-device", "usb-storage,drive=stick,bootindex=0"),
)
FORMS = {"DVD": DISC, "USB": STICK}


@pytest.fixture(scope="module")
def dvd(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVD like RHEL 8.3's that boots."""
    laboratory = find_laboratory_dvd(Request(profile="clasificado", cache=CACHE))
    return make_variant(kit, tmp_path_factory.mktemp("dvd"), boot=laboratory)


@pytest.fixture(scope="module")
def medium(dvd: Path, kit: Kit, rhel_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The medium that `forja medium` makes of it."""
    folder = tmp_path_factory.mktemp("medio")
    words = ["--iso", dvd, "--updates", kit.erratum, "--site", rhel_site]
    done = forja("medium", "clasificado", *words, "--build", folder, "--cache", folder / "cache")
    assert done.code == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


def test_the_boot_set_up_is_the_originals(dvd: Path, medium: Path) -> None:
    assert boot_set_up(medium) == boot_set_up(dvd)


def boot_set_up(iso: Path) -> list[str]:
    """Return El Torito's entries and the partitions, without where they lie and random identifiers."""
    argv = ["xorriso", "-indev", iso, "-report_el_torito", "plain", "-report_system_area", "plain"]
    said = run(argv, doing="read the boot set-up").stdout
    kinds = (
        "El Torito (?:boot img|img path|img opts|cat path)",
        "System area summary",
        "MBR partition(?: path)?",
        "GPT (?:type GUID|partition path|partname local|partition flags)",
    )
    lines = [" ".join(line.split()) for line in re.findall(rf"(?m)^(?:{'|'.join(kinds)})\b.*", said)]
    assert "MBR isohybrid" in said
    assert sum(line.startswith("GPT type GUID") for line in lines) == 2, said
    lines = [re.sub(r"^(El Torito boot img .*) \d+$", r"\1", line) for line in lines]
    return [re.sub(r"^(MBR partition : .*?0x\w+ 0x\w+).*", r"\1", line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("firmware", list(FirmwareKind))
def test_it_boots_to_the_command_line_that_names_its_kickstart(
    firmware: FirmwareKind, form: str, medium: Path, tmp_path: Path
) -> None:
    line = boot_until(r"Command line: (.*)", medium, firmware, FORMS[form], tmp_path)
    assert WORDS in line, line
    assert line.endswith("console=tty0 console=ttyS0,115200"), line


@pytest.mark.slow
def test_a_forgotten_medium_erases_no_server(golden: Golden, tmp_path: Path) -> None:
    """The golden image's own medium, booted again with a copy of that image as its disk."""
    room = golden.room
    disk = tmp_path / "server.qcow2"
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", room.path("image"), disk]
    run([*argv], doing="make a throwaway copy")
    words = (*DISC, "-drive", f"file={disk},if=virtio,format=qcow2")
    said = boot_until(r"FORJA (.*)", room.path("medium"), FirmwareKind.BIOS, words, tmp_path)
    assert said.startswith("ERROR: en vda ya hay un servidor instalado"), said


def boot_until(
    pattern: str, medium: Path, firmware: FirmwareKind, words: tuple[str, ...], folder: Path
) -> str:
    """Boot until the serial console shows a line like this, nobody touching a key; return its group."""
    serial = folder / "serial.log"
    drive = [word.format(medium=medium) for word in words]
    more = ["-display", "none", "-no-reboot", "-nic", "none", *drive]
    argv = describe_machine(firmware, folder, serial).argv(memory_mib=1024, cpus=1, more=more)
    console, seen = Console(serial), []
    with start(argv, doing="boot the medium", grace=0) as machine:
        deadline = time.monotonic() + BOOT_SECONDS
        running = True
        while running and time.monotonic() < deadline:
            running = machine.running()  # asked first: what it says last is read after its end
            seen += console.lines()
            for text in seen:
                if found := re.search(pattern, text):
                    return found[1]
            time.sleep(0.2)
    end = f"in {BOOT_SECONDS} s" if running else "before the machine ended"
    raise AssertionError(f"no {pattern} {end}; the console: {seen[-20:]}")
