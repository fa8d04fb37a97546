"""The one way through: plan -> packages -> kickstart, overlay, medium -> image -> verification -> report.

Each step is one line of `make_golden_image`, and decides itself whether it has work: what is unchanged is
not made again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from builder.ask.plan import Plan
from builder.ask.profile import FOLDER as PROFILES
from builder.ask.profile import lineage
from builder.ask.reading import REPOSITORY
from builder.ask.site import EXAMPLE
from builder.make import image as image_stage
from builder.make import medium as medium_stage
from builder.make import packages as packages_stage
from builder.make.domain import write_domain
from builder.make.findings import Findings, Verdict
from builder.make.hyperv import check_place, write_build_folder
from builder.make.image import build_image, convert_to_vhdx
from builder.make.kickstart import write_kickstart
from builder.make.manifest import write_manifest
from builder.make.medium import Contents, make_medium
from builder.make.overlay import write_overlay
from builder.make.packages import hold_to_lock, resolve_packages, warn_of_own_keys
from builder.make.report import write_reports
from builder.make.report.comparison import Comparison
from builder.make.resolution import Resolution
from builder.make.seed import file_name, plan_server, read_image, signer, write_seed
from builder.make.verification import TESTS, Seeder, verify_image, verify_server
from builder.request import Request, list_updates, name_of, settle_plan, signature_files
from builder.room import Room, fresh, read_findings, read_plan, read_resolution
from builder.tools import vhdx
from builder.tools.console import say, step
from builder.tools.errors import BadInput, ControlFailed
from builder.tools.files import MIB, fingerprint, require_space, sha256, write_text
from builder.tools.iso import Original
from builder.tools.machine import FirmwareKind
from builder.tools.memory import digest_of_files, hold


def make_golden_image(request: Request) -> tuple[Room, Findings]:
    """Go the whole way, and return the room that holds what was made, and what was seen of the image.

    Raises:
        ForjaError: a stage could not be done; the message says which and why.
    """
    room, server, original = settle_room(request)
    with hold(room.folder):
        prepare_medium(request, room, server, original)
        install_image(request, room)
        derive_vhdx(room)
        define_domain(room)
        findings = verify(request, room)
        report(request, room, findings)
        record_manifest(request, room, original, findings)
    return room, findings


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


def make_medium_only(request: Request, hyperv: Path | None = None) -> Room:
    """Go the way as far as the medium.

    Args:
        hyperv: where to write the folder that a Windows host builds from, if it is wanted.
    """
    if hyperv is not None:
        check_place(hyperv)
    room, server, original = settle_room(request)
    with hold(room.folder):
        prepare_medium(request, room, server, original)
        if hyperv is not None:
            with step("Folder for Hyper-V"):
                write_build_folder(room.plan, room.path("medium"), hyperv.absolute())
    return room


def resolve_only(request: Request) -> tuple[Room, Resolution]:
    """Go the way as far as the packages."""
    room, server, original = settle_room(request)
    with hold(room.folder):
        record_plan(room, server)
        return room, resolve(request, room, original)


def settle_room(request: Request) -> tuple[Room, Plan, Original]:
    """Return the image's room, the plan of the server that it is verified as, and the DVD."""
    server, original = settle_plan(request)
    plan = server.without_server if request.closed else server
    return Room(request.build.resolve() / plan.name, plan), server, original


def prepare_medium(request: Request, room: Room, server: Plan, original: Original) -> None:
    """Go from the plan to the medium."""
    record_plan(room, server)
    resolve(request, room, original)
    render_kickstart(room)
    pack_overlay(room)
    write_medium(request, room, original)


def record_plan(room: Room, server: Plan) -> None:
    """Write `plan.json`: nothing after it reads a profile, a site or a platform.

    And of a closed image `server.json`: what a copy of it is made to be when it is verified.
    """
    texts = {
        room.folder / name: f"{plan.model_dump_json(indent=2)}\n"
        for name, plan in zip(room.memory.stages["plan"], (room.plan, server), strict=False)
    }
    if any(not path.exists() or path.read_text() != text for path, text in texts.items()):
        room.memory.begin("plan")
        for path, text in texts.items():
            write_text(path, text, 0o600)


def resolve(request: Request, room: Room, original: Original) -> Resolution:
    """Write `packages.json` and `packages.lock`: the set that the installer will choose, solved and checked.

    Raises:
        BadInput: it can't be solved, a package is not what it must be, or the set is not the locked one.
    """
    settings = room.plan.site.packages
    keys = [
        room.plan.site.source / path for path in (*settings.keys, *(key.file for key in settings.own_keys))
    ]
    inputs = {
        "plan": sha256(room.path("plan")),
        "original": name_of(request, original),
        "updates": list_updates(request),
        "keys": digest_of_files([path for path in keys if path.is_file()]),
        "how": digest_of_files([*Path(packages_stage.__file__).parent.glob("*.py")]),
    }
    path = room.path("packages")
    with step("Packages (dnf)"):
        if room.memory.unchanged("packages", inputs):
            say("unchanged")
            resolution = read_resolution(path)
        else:
            room.memory.begin("packages")
            resolution = resolve_packages(
                room.plan,
                original,
                request.updates,
                cache=request.cache.resolve(),
                log=fresh(room.logs / "packages.log"),
            )
            write_text(path, resolution.model_dump_json(indent=1) + "\n")
            write_text(path.with_suffix(".lock"), resolution.lock())
            room.memory.finish("packages", inputs)
        warn_of_own_keys(resolution)
        if request.locked is not None:
            hold_to_lock(resolution, request.locked)
        counts = Counter(package.repository for package in resolution.packages)
        shares = ", ".join(f"{count} of {repository}" for repository, count in sorted(counts.items()))
        say(f"{len(resolution.packages)} packages, {resolution.size / MIB:.0f} MiB: {shares}")
    return resolution


def render_kickstart(room: Room) -> None:
    """Write the kickstart, checked as RHEL 8 reads it."""
    with step("Kickstart"):
        write_kickstart(room.plan, room.path("kickstart"))


def pack_overlay(room: Room) -> None:
    """Write the overlay archive."""
    with step("Overlay"):
        write_overlay(room.plan, room.path("overlay"))


def write_medium(request: Request, room: Room, original: Original) -> None:
    """Write the medium that installs by itself."""
    inputs = {
        "kickstart": sha256(room.path("kickstart")),
        "overlay": sha256(room.path("overlay")),
        "packages": sha256(room.path("packages")),
        "original": name_of(request, original),
        "updates": list_updates(request),
        "signatures": " ".join(fingerprint(path) for path in signature_files(request)),
        "trim": str(request.trim),
        "way": str(request.medium_way),
        "how": digest_of_files([*Path(medium_stage.__file__).parent.glob("*.py")]),
    }
    with step("Medium"):
        if room.memory.unchanged("medium", inputs):
            say("unchanged")
            return
        room.memory.begin("medium")
        brought = sum(path.stat().st_size for path in signature_files(request))
        size = original.path.stat().st_size + 2 * brought + 500 * MIB
        require_space(room.folder, size, purpose="write the medium")
        make_medium(
            room.plan,
            original,
            Contents(
                room.path("kickstart"),
                room.path("overlay"),
                room.path("packages"),
                request.updates,
                signature_files(request),
            ),
            room.path("medium"),
            trim=request.trim,
            way=request.medium_way,
            log=fresh(room.logs / "medium.log"),
        )
        room.memory.finish("medium", inputs)


def install_image(request: Request, room: Room) -> None:
    """Let the medium install itself on an empty disk."""
    inputs = {
        "medium": sha256(room.path("medium")),
        "firmware": request.firmware,
        "way": request.image_way,
        "how": digest_of_files(
            [*image_stage.TEMPLATES.glob("*.pkr.hcl"), *Path(image_stage.__file__).parent.glob("*.py")]
        ),
    }
    with step(f"Image ({request.image_way.capitalize()}, {request.firmware.upper()})"):
        if room.memory.unchanged("image", inputs):
            say("unchanged")
            return
        room.memory.begin("image")
        require_space(room.folder, 6000 * MIB, purpose="build the image")
        build_image(
            room.plan,
            room.path("medium"),
            room.path("image"),
            firmware=request.firmware,
            logs=room.logs,
            resources=request.resources,
            way=request.image_way,
        )
        room.memory.finish("image", inputs)


def derive_vhdx(room: Room) -> None:
    """Write the same disk for Hyper-V."""
    how = [*Path(image_stage.__file__).parent.glob("*.py"), Path(vhdx.__file__)]
    inputs = {"image": fingerprint(room.path("image")), "how": digest_of_files(how)}
    with step("VHDX for Hyper-V"):
        if room.memory.unchanged("vhdx", inputs):
            say("unchanged")
            return
        room.memory.begin("vhdx")
        convert_to_vhdx(room.path("image"), room.path("vhdx"), log=fresh(room.logs / "vhdx.log"))
        room.memory.finish("vhdx", inputs)


def define_domain(room: Room) -> None:
    """Write how libvirt is to run the image."""
    with step("Domain for libvirt"):
        write_domain(room.plan, room.path("domain"))


def verify(request: Request, room: Room) -> Findings:
    """Look at every control on a throwaway copy of the image."""
    inputs = {
        "image": sha256(room.path("image")),
        "plan": digest_of_files([room.folder / name for name in room.memory.stages["plan"]]),
        "packages": sha256(room.path("packages")),
        "firmware": request.firmware,
        "how": digest_of_files([*TESTS.glob("*.py"), *Path(medium_stage.__file__).parents[1].rglob("*.py")]),
    }
    with step("Verification"):
        if room.memory.unchanged("verification", inputs):
            say("unchanged")
            return read_findings(room.path("verification"))
        room.memory.begin("verification")
        findings = verify_image(
            room.server,
            read_resolution(room.path("packages")),
            room.path("image"),
            room.path("medium"),
            room.folder,
            firmware=request.firmware,
            logs=room.logs,
            seed=make_seeder(room, request.sign_key),
        )
        if not findings.sums(room.plan.controls)[Verdict.FAILS]:
            room.memory.finish("verification", inputs)
        return findings


def make_seeder(room: Room, sign_key: Path | None) -> Seeder | None:
    """Return what makes a copy of a closed image the server of `server.json`; nothing for another image.

    Raises:
        BadInput: as `read_image`.
    """
    if not room.plan.closed:
        return None
    image, server = read_image(room.plan, room.path("overlay")), room.server
    sign = None if sign_key is None else signer(sign_key)

    def seed(public_key: str, path: Path) -> Path:
        keys = (*server.site.admin.ssh_keys, public_key)
        admin = server.site.admin.model_copy(update={"ssh_keys": keys})
        site = server.site.model_copy(update={"admin": admin})
        return write_seed(image, server.model_copy(update={"site": site}), path, sign)

    return seed


def write_seeds(folder: Path, sites: Sequence[Path], output: Path, sign_key: Path | None) -> Iterator[Path]:
    """Write the seed of each site's server for the closed image in `folder`, and give its path.

    All sites are checked before the first seed is written.

    Raises:
        BadInput: there is no closed image, a site is wrong or is no server of it, or two have one name.
    """
    room = Room.at(folder)
    image = read_image(room.plan, room.path("overlay"))
    sign = None if sign_key is None else signer(sign_key)
    servers: dict[str, tuple[Path, Plan]] = {}
    for site in sites:
        server = plan_server(image, site)
        other, _ = servers.setdefault(file_name(server), (site, server))
        if other is not site:
            raise BadInput(f"{other} and {site} both name the server {server.site.host.name}")
    for name, (_, server) in servers.items():
        yield write_seed(image, server, output / name, sign)


def report(request: Request, room: Room, findings: Findings) -> None:
    """Write the lista de comprobación, as a page and for programs."""
    resolution = read_resolution(room.path("packages"))
    with step("Lista de comprobación"):
        room.memory.begin("report")
        langs = dict.fromkeys(("es", request.lang))
        for path in write_reports(room.plan, findings, resolution, room.folder, langs=langs):
            say(str(path))


def record_manifest(request: Request, room: Room, original: Original, findings: Findings) -> None:
    """Write the manifest and the sums of everything."""
    plan = room.plan
    inputs = {
        "iso": original.path,
        "site": request.site or EXAMPLE,
        **{f"profile:{name}": PROFILES / f"{name}.toml" for name in lineage(plan.profile.name)},
        "platform": REPOSITORY / "kickstarts" / "platforms" / f"{plan.platform.name}.toml",
        **{
            f"overlay:{overlay.name}:{path.relative_to(overlay.folder)}": path
            for overlay in plan.overlays
            for path in overlay.folder.rglob("*")
            if path.is_file()
        },
        **{f"signatures:{path.name}": path for path in signature_files(request)},
        **{
            f"update:{path.name}": path
            for path in (request.updates.glob("**/*.rpm") if request.updates else ())
        },
    }
    with step("Manifest"):
        artefacts = [
            name
            for stage in room.memory.stages
            if stage != "manifest"
            for name in room.memory.stages[stage]
            if (room.folder / name).exists()
        ]
        resolution = read_resolution(room.path("packages"))
        write_manifest(plan, findings, resolution, room.folder, artefacts, inputs)


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
