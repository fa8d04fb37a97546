"""Installing by lorax's livemedia-creator, on a RHEL host that has it (lorax 28.14 of RHEL 8 and later).

It boots the medium's kernel in QEMU itself; `--no-virt`, which would run Anaconda on this host, is not used.
The kickstart that it is given only answers what it asks of one (size of the disk, how it ends); the kernel's
arguments then name the one on the medium, and the installer takes the last that is named.

It connects the machine's serial port to nothing: what is followed is the installer's log (virt-install.log),
which gets what our scripts report by way of syslog.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from builder.ask.plan import Plan
from builder.make.image.console import follow
from builder.make.image.resources import Resources
from builder.make.layout import FOLDER, boot_arguments
from builder.tools.cell import open_cell
from builder.tools.errors import HostUnready, StageFailed
from builder.tools.host import accelerator, kvm_trouble
from builder.tools.iso import escape_label, extract, inspect_medium
from builder.tools.machine import FirmwareKind
from builder.tools.process import Argument, find_program, run, start

NEEDED = ("--make-disk", "--image-type", "--location", "--kernel-args", "--virt-uefi", "--timeout")
FORMAT = "qcow2"


@dataclass(frozen=True)
class Livemedia:
    """The livemedia-creator of this host, by what it says of itself."""

    program: Path
    options: frozenset[str]
    version: str
    """Such as 28.14.55."""

    @property
    def needs_kvm(self) -> bool:
        """Whether it gives QEMU the host's processor and can't be told another, as RHEL 9's (34.9) does."""
        major = int(self.version.split(".")[0]) if self.version[:1].isdigit() else 0
        return major >= 34 and "--cpu" not in self.options


def install_by_livemedia(
    plan: Plan,
    medium: Path,
    work: Path,
    *,
    firmware: FirmwareKind,
    logs: Path,
    resources: Resources,
) -> Path:
    """Let the medium install itself in a machine that livemedia-creator runs, and return the disk.

    Args:
        work: a folder for all that is made.
        logs: folder for `livemedia.log`, `program.log`, `virt-install.log` and what it prints.

    Raises:
        HostUnready: it is not on this host, is too old, or we are not root.
        StageFailed: the installation failed, did not end, or left no image; the message says why.
    """
    livemedia = find_livemedia()
    said, log = logs / "virt-install.log", logs / "livemedia-creator.log"
    for old in (said, log, logs / "livemedia.log", logs / "program.log"):
        old.unlink(missing_ok=True)
    kickstart = write_answers(work / "respuestas.ks", plan.profile.disk_gib * 1024)
    location = lay_out_boot_files(medium, work / "medium")
    argv = livemedia_argv(
        livemedia, plan, medium, work, kickstart, location, firmware=firmware, logs=logs, resources=resources
    )
    with open_cell() as cell:
        words, doing = cell.inside(argv), "build the image with livemedia-creator"
        with start(words, doing=doing, log=log, stdout_to_log=True, env={"TMPDIR": str(work)}) as program:
            sealed = follow(program, said, log)
            code = program.popen.returncode
    if code != 0:
        raise StageFailed(
            f"livemedia-creator failed with exit code {code}: {last_error(logs / 'livemedia.log')}",
            hint=f"see {log}",
        )
    if not sealed:
        raise StageFailed(
            "the machine ended (switched off, or QEMU was killed) before the installation was complete",
            hint=f"the installer's log is {said}",
        )
    built = work / "result" / f"{plan.name}.{FORMAT}"
    if not built.is_file() or built.stat().st_size == 0:
        raise StageFailed(
            "livemedia-creator said that all went well, and there is no image", hint=f"see {log}"
        )
    return built


def find_livemedia() -> Livemedia:
    """Return the livemedia-creator of this host.

    Raises:
        HostUnready: there is none, it lacks an option, or it wants root or KVM, and has not.
    """
    path = find_program("livemedia-creator")
    if path is None:
        raise HostUnready(
            "livemedia-creator is not on this host",
            hint="install lorax-lmc-virt (RHEL), or leave --image-with out: Packer builds the same image",
        )
    said = run([path, "--help"], doing="ask livemedia-creator what it can do", timeout=60).stdout
    version = run([path, "-V"], doing="ask livemedia-creator its version", timeout=60).stdout
    found = probe(Path(path), said, version)
    lacking = [option for option in NEEDED if option not in found.options]
    if lacking:
        raise HostUnready(
            f"{path} ({found.version}) has no {', '.join(lacking)}",
            hint="use --image-with packer, or lorax 28.14 (RHEL 8) or later",
        )
    if os.geteuid() != 0:
        raise HostUnready("livemedia-creator runs as root only", hint="run as root, or use Packer")
    if found.needs_kvm and accelerator() == "tcg":
        raise HostUnready(
            f"{path} ({found.version}) runs machines with KVM only, and {kvm_trouble()}",
            hint="use --image-with packer, which emulates",
        )
    return found


def probe(program: Path, said: str, version: str) -> Livemedia:
    """Return what a livemedia-creator can do, from what it prints for --help and -V."""
    found = re.search(r"(\d+(?:\.\d+)+)", version)
    options = frozenset(re.findall(r"--[a-z][\w-]*", said))
    return Livemedia(program, options, found[1] if found else "of no known version")


def write_answers(path: Path, disk_mib: int) -> Path:
    """Write the kickstart that answers what livemedia-creator asks of one; nobody installs by it.

    It adds 2 MiB to the partitions' sum for the size of the disk, and wants the machine to switch itself off.
    """
    path.write_text(f"shutdown\npart / --size={disk_mib - 2}\n")
    return path


def lay_out_boot_files(medium: Path, folder: Path) -> Path:
    """Return a folder with the boot files that livemedia-creator would else mount the medium for."""
    for name in ("isolinux/vmlinuz", "isolinux/initrd.img"):
        extract(medium, folder, name)
    # It only looks whether this is there; the machine reads its own from the medium.
    (folder / "images").mkdir()
    (folder / "images/install.img").touch()
    return folder


def livemedia_argv(
    livemedia: Livemedia,
    plan: Plan,
    medium: Path,
    work: Path,
    kickstart: Path,
    location: Path,
    *,
    firmware: FirmwareKind,
    logs: Path,
    resources: Resources,
) -> list[Argument]:
    """Return the argument list that installs the medium."""
    label = escape_label(inspect_medium(medium).volume_id)
    where = f"hd:LABEL={label}:/{FOLDER}/{plan.profile.name}.ks"
    # lorax 28.14 says ks=, later ones inst.ks=, and the dracut of RHEL 8.3 asks for ks= first.
    arguments = f"ks={where} inst.ks={where} {boot_arguments(plan)}"
    optional: list[Argument] = ["--nomacboot"] if "--nomacboot" in livemedia.options else []
    if firmware is FirmwareKind.UEFI:
        optional.append("--virt-uefi")
    if accelerator() == "tcg":
        optional += ["--no-kvm", *(["--cpu", "max"] if "--cpu" in livemedia.options else [])]
    return [
        *(livemedia.program, "--make-disk", "--iso", medium.resolve(), "--location", location),
        *("--ks", kickstart, "--kernel-args", arguments, *optional),
        *("--image-type", FORMAT, "--image-name", f"{plan.name}.{FORMAT}", "--resultdir", work / "result"),
        *("--ram", str(resources.memory_mib), "--vcpus", str(resources.cpus)),
        *("--timeout", str(resources.hours * 60), "--tmp", work, "--logfile", logs / "livemedia.log"),
    ]


def last_error(log: Path) -> str:
    """Return the last error in livemedia-creator's log: QEMU's own words, when it has any."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    errors = re.findall(r"(?m)^.* ERROR [\w.-]+: (.*)$", text)
    said = [error.removeprefix("output: ") for error in errors if re.match(r"output: \S", error)]
    return str((said or errors or ["it gave no reason"])[-1]).strip()
