"""The one way through: plan -> packages -> kickstart, overlay, medium -> image -> verification -> report.

Each step is one line of `make_golden_image`, and decides itself whether it has work: what is unchanged is
not made again.
"""

from __future__ import annotations

from collections import Counter
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
from builder.make.resolution import Resolution
from builder.make.verification import TESTS, verify_image
from builder.request import Request, list_updates, name_of, settle_plan, signature_files
from builder.room import Room, fresh, read_findings, read_resolution
from builder.seeds import make_seeder
from builder.tools import vhdx
from builder.tools.console import say, step
from builder.tools.files import MIB, fingerprint, require_space, sha256, write_text
from builder.tools.iso import Original
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
