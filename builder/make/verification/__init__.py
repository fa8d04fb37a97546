"""Verification: the final image, booted in a throwaway copy, seen control by control by tests/image."""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from builder import __version__
from builder.ask.plan import Plan
from builder.ask.reading import REPOSITORY
from builder.make.findings import SPARED, Finding, Findings, Outcome, Subject
from builder.make.resolution import Resolution
from builder.make.verification.guest import Guest, boot_guest
from builder.make.verification.server import reach_server, tell
from builder.make.verification.throwaway import make_throwaway
from builder.tools.cell import open_cell
from builder.tools.console import say
from builder.tools.errors import StageFailed
from builder.tools.files import scratch, sha256, write_text
from builder.tools.machine import FirmwareKind
from builder.tools.process import Argument, append, run

TESTS = REPOSITORY / "tests" / "image"
SHORT_PATHS = Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 - a socket's path may have 108 bytes
EXIT_ALL_PASSED, EXIT_SOME_FAILED = 0, 1
WORKERS = 3
"""Root shells over the one connection: sshd admits four sessions on it (MaxSessions)."""

Seeder = Callable[[str, Path], Path]
"""Writes the seed that makes a closed image the server looked at: (administrator's further key, path)."""


class Target(Protocol):
    """What the tests of an image look at: a booted guest, or a root file system with the same packages."""

    @property
    def plan(self) -> Plan:
        """What it was made from."""

    @property
    def connection(self) -> Mapping[str, str | Sequence[str] | Sequence[int]]:
        """How the tests reach it: `argv` of a root shell, or arguments of testinfra's `get_host`.

        Or `streams`: a root shell on a server in use, which may only be looked at; its input, output and
        errors, by the numbers of our open files.
        """

    @property
    def address(self) -> str:
        """Where clients reach it."""

    @property
    def clients(self) -> Mapping[str, str | None]:
        """Class of client -> where it speaks from."""

    def inside(self, argv: Sequence[Argument]) -> list[str]:
        """Return the argument list that runs `argv` where it can be reached."""


def verify_image(
    plan: Plan,
    resolution: Resolution,
    image: Path,
    medium: Path,
    folder: Path,
    *,
    firmware: FirmwareKind,
    logs: Path,
    controls: Sequence[str] = (),
    seed: Seeder | None = None,
) -> Findings:
    """Boot a throwaway copy of an image and look at every control of its plan, or at some.

    Args:
        resolution: the packages that it was installed with.
        folder: where `findings.json` and `verification.xml` (JUnit) are put.
        logs: folder for the console and the programs' output.
        seed: of a closed image, whose copy is then looked at as the server that `plan` is of.

    Returns:
        What was seen. A control that fails is no error here: the caller judges.

    Raises:
        StageFailed: the image does not boot, no test ran, or the image changed meanwhile.
    """
    log = logs / "verification.log"
    log.unlink(missing_ok=True)
    before = sha256(image)
    began, moment = time.monotonic(), datetime.datetime.now(datetime.UTC)
    with scratch(SHORT_PATHS, "forja") as work, open_cell() as cell:
        say("putting a one-time key into a throwaway copy")
        throwaway = make_throwaway(plan, image, medium, work, cell, log=log)
        if seed is not None:
            say("with a seed of the site in its drive")
            iso = seed(throwaway.key.with_suffix(".pub").read_text().strip(), work / "semilla.iso")
            throwaway = replace(throwaway, seed=iso)
        say(f"booting it under {firmware.upper()}")
        serial = logs / f"console-verification-{firmware}.log"
        with boot_guest(plan, throwaway, work, cell, firmware=firmware, serial=serial, log=log) as guest:
            xml = folder / "verification.xml"
            findings = look(guest, resolution, work, xml=xml, log=log, controls=controls)
            system, postfix = identify(guest)
    if sha256(image) != before:
        raise StageFailed(f"{image} is not the same after verification as it was before")
    result = Findings(
        subject=Subject(
            image=image.name,
            sha256=before,
            size=image.stat().st_size,
            firmware=firmware,
            began=moment.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - began, 1),
            builder_version=__version__,
            system=system,
            postfix=postfix,
            seeded=plan.site.host.name if seed else "",
        ),
        findings=findings,
    )
    write_text(folder / "findings.json", result.model_dump_json(indent=2) + "\n")
    return result


def verify_server(
    plan: Plan,
    resolution: Resolution | None,
    host: str,
    folder: Path,
    *,
    config: Path | None,
    logs: Path,
    controls: Sequence[str] = (),
    verified: Findings | None = None,
) -> Findings:
    """Look at every control of a plan, or at some, on a server in use, without changing anything there.

    Args:
        resolution: the packages that it was installed with, if their list is at hand.
        host: the server, as ssh takes it.
        config: the person's ssh_config(5), if it is not ssh's own.
        folder: where `findings.json` and `verification.xml` (JUnit) are put.
        logs: folder for the programs' output.
        verified: what was seen on its image: stands for what a server in use is spared.

    Returns:
        What was seen. A control that fails is no error here: the caller judges.

    Raises:
        BadInput: it is another system than the plan's, or nobody becomes root there.
        StageFailed: it can't be reached, or is lost while it is looked at.
    """
    log = logs / "verification.log"
    logs.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    began, moment = time.monotonic(), datetime.datetime.now(datetime.UTC)
    with (
        scratch(SHORT_PATHS, "forja") as work,
        reach_server(plan, host, work, config=config, log=log) as server,
    ):
        tell(server)
        xml = folder / "verification.xml"
        findings = look(server, resolution, work, xml=xml, log=log, controls=controls)
    image = verified.subject if verified else None
    result = Findings(
        subject=Subject(
            image=image.image if image else "",
            sha256=image.sha256 if image else "",
            size=image.size if image else 0,
            firmware=server.firmware,
            began=moment.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - began, 1),
            builder_version=__version__,
            system=server.system,
            postfix=server.postfix,
            server=server.server,
        ),
        findings=spare(findings, verified) if verified else findings,
    )
    write_text(folder / "findings.json", result.model_dump_json(indent=2) + "\n")
    return result


def spare(findings: Sequence[Finding], verified: Findings) -> tuple[Finding, ...]:
    """Return the findings of a server, with its image's where the server was spared and the image passed.

    Each of those says itself, in its evidence, that it is the image's.
    """
    passed = {finding.test: finding for finding in verified.findings if finding.outcome is Outcome.PASSED}
    image = verified.subject
    note = f"imagen {image.image}, SHA-256 {image.sha256}, {image.began}; no este servidor"
    return tuple(
        passed[finding.test].model_copy(update={"seen": (note, *passed[finding.test].seen)})
        if finding.reason in SPARED and finding.test in passed
        else finding
        for finding in findings
    )


def look(
    target: Target,
    resolution: Resolution | None,
    work: Path,
    *,
    xml: Path | None,
    log: Path,
    controls: Sequence[str] = (),
    files: Sequence[str] = ("",),
    long: bool = False,
) -> tuple[Finding, ...]:
    """Run the tests of the image against a target, all of them or those of some controls.

    Args:
        resolution: the packages that it was installed with, if their list is at hand.
        work: a folder for what the tests are told and tell.
        controls: the controls to look at; all when there are none.
        files: the files of tests/image to run.
        long: whether tests that take minutes run too.

    Raises:
        StageFailed: pytest itself failed, or no test ran.
    """
    context, found = work / "context.json", work / "found.json"
    (work / "plan.json").write_text(target.plan.model_dump_json())
    packages = work / "packages.json"
    if resolution is not None:
        packages.write_text(resolution.model_dump_json())
    streams = [number for number in target.connection.get("streams", ()) if isinstance(number, int)]
    context.write_text(
        json.dumps(
            {
                "plan": str(work / "plan.json"),
                "packages": str(packages) if resolution else None,
                "connection": dict(target.connection),
                "address": target.address,
                "clients": dict(target.clients),
                "controls": list(controls),
                "long": long,
                "found": str(found),
            }
        )
    )
    for mark in (found, work / "looked"):
        mark.unlink(missing_ok=True)
    argv: list[Argument] = [
        *(sys.executable, "-m", "pytest", "--rootdir", REPOSITORY, "-p", "no:cacheprovider"),
        *("-o", "addopts=", "-v", "--tb=short", "--strict-markers", f"--guest={context}"),
        # The report says why a control fails: whole, not "...".
        *("-o", "verbosity_assertions=2"),
        *([f"--junitxml={xml}", "-o", "junit_suite_name=forja"] if xml else []),
        # The streams of a server in use are one shell's: one process asks it everything.
        *("-n", "0" if streams else str(WORKERS), "--max-worker-restart=0"),
        *(TESTS / file for file in files),
    ]
    told: list[str] = []

    def show_progress(line: str) -> None:
        """Name each file of tests once, when its first test has ended."""
        test = re.search(r"\btests/image/(?:\w+/)*(\w+)\.py::", line)
        share = re.search(r"\[ *(\d+%)\]", line)
        if test and share and xml is not None and test[1] not in told:
            told.append(test[1])
            say(f"[{share[1]:>4}] {test[1].removeprefix('test_')}")

    result = run(
        target.inside(argv),
        on_line=show_progress,
        doing="look at the image",
        log=log,
        cwd=REPOSITORY,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        accept=range(256),
        handed=streams,
    )
    if result.returncode not in (EXIT_ALL_PASSED, EXIT_SOME_FAILED) or not found.exists():
        append(log, f"pytest exited with {result.returncode}\n")
        last = [line for line in result.stdout.splitlines() if line.strip()][-1:]
        raise StageFailed(
            f"the tests of the image could not run (pytest exited with {result.returncode}): {''.join(last)}",
            hint=f"see {log}",
        )
    findings = tuple(Finding.model_validate(item) for item in json.loads(found.read_text()))
    if not findings:
        raise StageFailed("no test of the image ran", hint=f"see {log}")
    return findings


def identify(guest: Guest) -> tuple[str, str]:
    """Return the name of the booted system and its package of Postfix, as the system itself says them."""
    query = guest.plan.platform.tools.query_package
    said = guest.ssh(
        f'. /etc/os-release; echo "$PRETTY_NAME"; {query} postfix', doing="ask the guest what it is"
    ).stdout.splitlines()
    return said[0].strip(), " ".join(said[1].split()) if len(said) > 1 else ""
