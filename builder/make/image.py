"""The image: Packer runs the medium in a machine without a network until it has installed itself.

Packer's exit code is not trusted alone: the disk must be there and new, whole by qemu-img's check, and the
guest itself must have said on its console that it was sealed. The console is watched: what it shows as a
failure ends the build at once, with that line as the reason.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from builder.ask.plan import Plan
from builder.ask.reading import REPOSITORY
from builder.tools.cell import open_cell
from builder.tools.console import say
from builder.tools.errors import StageFailed
from builder.tools.files import finished, scratch, sha256
from builder.tools.host import find_packer
from builder.tools.machine import Console, FirmwareKind, describe_machine
from builder.tools.process import append, run, start

TEMPLATES = REPOSITORY / "packer"
SEALED = "FORJA imagen sellada"
SHOWN = re.compile(r"(?:FORJA|laboratorio:) (?P<text>.*)")
FAILURES = tuple(
    re.compile(pattern)
    for pattern in (
        r"FORJA (?:ERROR|FIN)",
        r"laboratorio: ERROR",
        r"Kernel panic",
        r"Entering emergency mode",
        r"dracut-initqueue.*[Tt]imeout",
        r"Traceback \(most recent call last\)",
        r"Out of memory: Kill",
        r"anaconda.*(?:exited on signal|crashed)",
        r"The following error occurred while installing",
        r"The installation was stopped due to",
        r"There was an error running the kickstart script",
        r"Error setting up (?:software source|base repository)",
        r"No bootable device",
    )
)
"""What a console shows when it can't end well: our scripts, the laboratory, Anaconda, the kernel."""
AFTER_FAILURE_SECONDS = 4.0
"""How long the console is still read after a failure, for the lines that explain it."""


SILENCE_SECONDS = 1200.0


@dataclass(frozen=True)
class Resources:
    """What the machine that installs gets."""

    memory_mib: int = 2048
    cpus: int = 2
    hours: int = 3


def build_image(
    plan: Plan, medium: Path, path: Path, *, firmware: FirmwareKind, logs: Path, resources: Resources
) -> Path:
    """Build the qcow2 of a plan from its medium.

    Args:
        path: where the image is put, once it is whole.
        logs: folder for `packer.log` and `console-install.log`.

    Raises:
        StageFailed: the installation failed, did not end, or left no image; the message says why.
    """
    serial, log = logs / "console-install.log", logs / "packer.log"
    logs.mkdir(parents=True, exist_ok=True)
    for old in (serial, log):
        old.unlink(missing_ok=True)
    with scratch(path.parent, "image") as work:
        output = work / "output"
        values = write_values(plan, medium, work, output, serial, firmware, resources)
        run_packer(values, serial, log)
        built = output / f"{plan.name}.qcow2"
        if not built.is_file() or built.stat().st_size == 0:
            raise StageFailed("Packer said that all went well, and there is no image", hint=f"see {log}")
        run(["qemu-img", "check", built], doing="check the image", log=log)
        built.replace(path)
    return path


def write_values(
    plan: Plan,
    medium: Path,
    work: Path,
    output: Path,
    serial: Path,
    firmware: FirmwareKind,
    resources: Resources,
) -> Path:
    """Write the var-file that holds every value of Packer's templates, and return its path."""
    machine = describe_machine(firmware, work, serial)
    arguments: list[list[str]] = [list(argument) for argument in machine.arguments]
    if machine.machine_options:
        words = ",".join((machine.kind, f"accel={machine.accelerator}", *machine.machine_options))
        arguments.append(["-machine", words])
    values = {
        "name": plan.name,
        "medium": str(medium.resolve()),
        "medium_sha256": sha256(medium),
        "output": str(output),
        "disk_mib": plan.profile.disk_gib * 1024,
        "memory_mib": resources.memory_mib,
        "cpus": resources.cpus,
        "time_limit": f"{resources.hours}h",
        "qemu": {
            "binary": str(machine.program),
            "machine": machine.kind,
            "accelerator": machine.accelerator,
            "arguments": arguments,
        },
    }
    path = work / "values.pkrvars.json"
    path.write_text(json.dumps(values, indent=2))
    return path


def run_packer(
    values: Path, serial: Path, log: Path, *, only: str = "forja.qemu.image", silence: float = SILENCE_SECONDS
) -> None:
    """Run Packer to its end, watching the guest's console.

    Args:
        only: Packer's name of the one source to build; one that matches nothing is no error to Packer.
        silence: seconds without a word on the console after which nothing is expected any more.

    Raises:
        StageFailed: the console showed a failure, Packer failed, or the guest never said it was sealed.
    """
    packer = find_packer()
    env = {
        "CHECKPOINT_DISABLE": "1",
        "PACKER_CACHE_DIR": str(values.parent / "cache"),
        "TMPDIR": str(values.parent),
        "PACKER_LOG": "1",
        "PACKER_LOG_PATH": str(log.with_name("packer-debug.log")),
    }
    console = Console(serial)
    sealed = False
    with open_cell() as cell:
        options = ["-color=false", "-timestamp-ui", f"-only={only}", f"-var-file={values}"]
        words = cell.inside([packer, "build", *options, TEMPLATES])
        with start(
            words, doing="build the image with Packer", log=log, stdout_to_log=True, env=env
        ) as program:
            heard, said = time.monotonic(), 0
            while program.running():
                sealed = watch(console, log) or sealed
                if console.position != said:
                    heard, said = time.monotonic(), console.position
                if time.monotonic() - heard > silence:
                    raise StageFailed(
                        f"the machine has said nothing on its console for {silence:.0f} s: it does not boot "
                        "from the medium, or hangs",
                        hint=f"its console is in {serial}",
                    )
                time.sleep(0.3)
            sealed = watch(console, log) or sealed
            code = program.popen.returncode
    if code != 0:
        raise StageFailed(f"Packer failed with exit code {code}: {_last_error(log)}", hint=f"see {log}")
    if not sealed:
        raise StageFailed(
            "the machine ended (switched off, or QEMU was killed) before the installation was complete",
            hint=f"its console is in {serial}",
        )


def watch(console: Console, log: Path) -> bool:
    """Show what is new on a console in short; return whether the guest said that it is sealed.

    Raises:
        StageFailed: it shows a failure.
    """
    lines = console.lines()
    if any(pattern.search(line) for line in lines for pattern in FAILURES):
        time.sleep(AFTER_FAILURE_SECONDS)
        lines += console.lines()
    for line in lines:
        if shown := SHOWN.search(line):
            say(shown["text"])
            append(log, f"console: {line}\n")
    failed = [line for line in lines if any(pattern.search(line) for pattern in FAILURES)]
    if failed:
        raise StageFailed(
            f"the installation failed: {explain(failed)}", hint=f"the whole console is in {console.path}"
        )
    return any(SEALED in line for line in lines)


def explain(lines: list[str]) -> str:
    """Return the most telling of the lines that show a failure: one that names an error, else the first."""
    told = [match["text"] for line in lines if (match := SHOWN.search(line)) and "ERROR" in line]
    return (told[0] if told else lines[0]).removeprefix("ERROR: ")


def convert_to_vhdx(image: Path, path: Path, *, log: Path) -> Path:
    """Write the same disk as a dynamic VHDX for Hyper-V, and check that its content is the same.

    Blocks of 1 MiB rather than QEMU's 16 (for a disk of this size) keep the file close to its content.

    Raises:
        StageFailed: qemu-img failed, or the two differ.
    """
    with finished(path) as partial:
        run(
            [
                *("qemu-img", "convert", "-f", "qcow2", "-O", "vhdx"),
                *("-o", "subformat=dynamic,block_size=1048576", image, partial),
            ],
            doing="convert the image to VHDX",
            log=log,
        )
        run(
            ["qemu-img", "compare", "-f", "qcow2", "-F", "vhdx", image, partial],
            doing="compare both",
            log=log,
        )
    return path


def _last_error(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    errors = re.findall(r"(?m)^.*(?:[Ee]rror).*$", text)
    return re.sub(r"^.*?==> ", "", errors[-1]).strip() if errors else "it gave no reason"
