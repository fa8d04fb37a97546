"""What was built before, or is in use, looked at again: no stage of the way, and nothing is made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from builder.ask.plan import Plan
from builder.make.findings import Findings, Verdict
from builder.make.report import write_reports
from builder.make.report.comparison import Comparison
from builder.make.verification import verify_image, verify_server
from builder.room import Room, read_findings, read_plan, read_resolution
from builder.seeds import make_seeder
from builder.tools.console import step
from builder.tools.errors import BadInput, ControlFailed
from builder.tools.machine import FirmwareKind
from builder.tools.memory import hold


def verify_again(
    image: Path,
    *,
    plan_file: Path | None,
    medium: Path | None,
    output: Path | None,
    firmware: FirmwareKind,
    lang: str,
    controls: Sequence[str] = (),
    sign_key: Path | None = None,
) -> tuple[Plan, Findings, Path]:
    """Verify an image that was built before; its plan, packages and medium are looked for beside it.

    Returns:
        The plan, what was seen, and the folder with findings and report.

    Args:
        controls: the controls to look at; all when there are none. The report then says of the others that
            they were not verified.
        sign_key: signs the seed of the copy, where a closed image takes signed ones only.

    Raises:
        BadInput: image, plan, packages or medium is not there, or the plan has no such control.
    """
    plan = read_plan(plan_file or image.parent / "plan.json")
    resolution = read_resolution(image.parent / "packages.json")
    check_controls(plan, controls)
    medium = medium or image.parent / f"{plan.name}.iso"
    for path, what in ((image, "image"), (medium, "medium")):
        if not path.is_file():
            raise BadInput(f"the {what} {path} does not exist", hint="give it with --medium or as IMAGE")
    folder = (output or image.with_suffix(".verification")).resolve()
    room = Room(image.parent, plan)
    seed = make_seeder(room, sign_key)
    with hold(folder), step("Verification"):
        logs = folder / "logs"
        findings = verify_image(
            room.server,
            resolution,
            image,
            medium.resolve(),
            folder,
            firmware=firmware,
            logs=logs,
            controls=controls,
            seed=seed,
        )
        write_reports(plan, findings, resolution, folder, langs=[lang])
    return plan, findings, folder


def verify_running(
    host: str,
    plan: Plan,
    *,
    config: Path | None,
    packages: Path | None,
    output: Path | None,
    lang: str,
    controls: Sequence[str] = (),
    verified: Path | None = None,
) -> tuple[Findings, Path]:
    """Look at a server in use, over SSH, and change nothing there.

    Returns:
        What was seen, and the folder with findings and report.

    Args:
        host: the server, as ssh takes it.
        config: the person's ssh_config(5), if it is not ssh's own.
        packages: the `packages.json` of its image; None, or not there, if that is not at hand.
        controls: the controls to look at, as for `verify_again`.
        verified: the folder of its image's verification, for what a server in use is spared.

    Raises:
        BadInput: the plan has no such control, or the image was another plan's, or had a control that fails.
        ForjaError: as for `verify_server`.
    """
    check_controls(plan, controls)
    if config is not None and not config.is_file():
        raise BadInput(f"the ssh_config {config} does not exist", hint="give the file with --ssh-config")
    image = read_verified(verified, plan) if verified else None
    resolution = read_resolution(packages) if packages and packages.is_file() else None
    name = re.sub(r"[^A-Za-z0-9._-]", "-", host.rpartition("@")[2])
    folder = (output or Path(f"{name}.verification")).resolve()
    with hold(folder), step(f"Looking at {host}"):
        logs = folder / "logs"
        findings = verify_server(
            plan, resolution, host, folder, config=config, logs=logs, controls=controls, verified=image
        )
        write_reports(plan, findings, resolution, folder, langs=[lang])
    return findings, folder


def check_controls(plan: Plan, controls: Sequence[str]) -> None:
    """Refuse what is no control of a plan.

    Raises:
        BadInput: it names the first one.
    """
    unknown = set(controls) - {control.id for control in plan.controls}
    if unknown:
        raise BadInput(f"{plan.name} has no control {min(unknown)}", hint="they are in the report")


def read_verified(folder: Path, plan: Plan) -> Findings:
    """Return what was seen on the image of a plan.

    Raises:
        BadInput: it is no image's, or another plan's, or a control fails on it.
    """
    room = Room.at(folder)
    findings = read_findings(room.path("verification"))
    if room.plan != plan or findings.subject.server is not None:
        raise BadInput(f"{folder} holds no verification of an image with this server's plan")
    if findings.sums(plan.controls)[Verdict.FAILS]:
        raise BadInput(
            f"controls fail on the image of {folder}", hint="only what passed there stands for more"
        )
    return findings


def judge(plan: Plan, findings: Findings, folder: Path) -> None:
    """End with an error if a control does not hold.

    Raises:
        ControlFailed: it names the controls that fail.
    """
    failed = [control.id for control in plan.controls if findings.verdict(control) is Verdict.FAILS]
    if failed:
        raise ControlFailed(
            f"{len(failed)} of {len(plan.controls)} controls do not hold: {', '.join(failed)}",
            hint=f"why is in {folder / 'lista-de-comprobacion.html'}",
        )


def judge_change(comparison: Comparison) -> None:
    """End with an error if a control is worse than it was.

    Raises:
        ControlFailed: it names them.
    """
    worse = [difference.id for difference in comparison.worse]
    if worse:
        raise ControlFailed(
            f"{len(worse)} controls are worse in the new image than in the old one: {', '.join(worse)}"
        )
