"""Installing by Packer, with the templates in packer/. Its exit code is not trusted alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

from builder.ask.plan import Plan
from builder.ask.reading import REPOSITORY
from builder.make.image.console import SILENCE_SECONDS, follow
from builder.make.image.resources import Resources
from builder.tools.cell import open_cell
from builder.tools.errors import StageFailed
from builder.tools.files import sha256
from builder.tools.host import find_packer
from builder.tools.machine import FirmwareKind, describe_machine
from builder.tools.process import start

TEMPLATES = REPOSITORY / "packer"


def install_by_packer(
    plan: Plan,
    medium: Path,
    work: Path,
    *,
    firmware: FirmwareKind,
    logs: Path,
    resources: Resources,
) -> Path:
    """Let the medium install itself in a machine that Packer runs, and return the disk.

    Args:
        work: a folder for all that is made.
        logs: folder for `packer.log` and `console-install.log`.

    Raises:
        StageFailed: the installation failed, did not end, or left no image; the message says why.
    """
    serial, log = logs / "console-install.log", logs / "packer.log"
    for old in (serial, log):
        old.unlink(missing_ok=True)
    output = work / "output"
    run_packer(write_values(plan, medium, work, output, serial, firmware, resources), serial, log)
    built = output / f"{plan.name}.qcow2"
    if not built.is_file() or built.stat().st_size == 0:
        raise StageFailed("Packer said that all went well, and there is no image", hint=f"see {log}")
    return built


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
    with open_cell() as cell:
        options = ["-color=false", "-timestamp-ui", f"-only={only}", f"-var-file={values}"]
        words = cell.inside([packer, "build", *options, TEMPLATES])
        doing = "build the image with Packer"
        with start(words, doing=doing, log=log, stdout_to_log=True, env=env) as program:
            sealed = follow(program, serial, log, silence=silence)
            code = program.popen.returncode
    if code != 0:
        raise StageFailed(f"Packer failed with exit code {code}: {_last_error(log)}", hint=f"see {log}")
    if not sealed:
        raise StageFailed(
            "the machine ended (switched off, or QEMU was killed) before the installation was complete",
            hint=f"its console is in {serial}",
        )


def _last_error(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    errors = re.findall(r"(?m)^.*(?:[Ee]rror).*$", text)
    return re.sub(r"^.*?==> ", "", errors[-1]).strip() if errors else "it gave no reason"
