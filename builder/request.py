"""What was asked: the words of the command line, and the plan and medium that they come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from builder.ask.overlay import overlay_names, read_overlay
from builder.ask.plan import Plan, make_plan
from builder.ask.platform import platform_names, read_platform
from builder.ask.site import EXAMPLE
from builder.lab.content import Content
from builder.lab.dvd import make_dvd
from builder.make.image import Resources
from builder.make.image import Way as ImageWay
from builder.make.inspection import check_medium
from builder.make.medium import Way as MediumWay
from builder.make.signatures import NAMES as SIGNATURES
from builder.make.signatures import list_signatures, read_signatures
from builder.tools.console import say, step, warn
from builder.tools.errors import BadInput
from builder.tools.files import MIB, fingerprint, require_space
from builder.tools.iso import Original, inspect_medium
from builder.tools.machine import FirmwareKind

LABORATORY = "laboratorio"


@dataclass(frozen=True)
class Request:
    """What the person asked for on the command line."""

    profile: str
    site: Path | None = None
    iso: Path | None = None
    updates: Path | None = None
    locked: Path | None = None
    signatures: Path | None = None
    trim: bool = False
    closed: bool = False
    sign_key: Path | None = None
    medium_way: MediumWay | None = None
    image_way: ImageWay = ImageWay.PACKER
    build: Path = Path("build")
    cache: Path = Path(".cache")
    firmware: FirmwareKind = FirmwareKind.BIOS
    lang: str = "es"
    resources: Resources = field(default_factory=Resources)


def settle_plan(request: Request) -> tuple[Plan, Original]:
    """Find the medium to install from, the platform that it is of, and the plan for both.

    Of a closed image it is the plan of the site's server: the image's own is its `without_server`.
    """
    with step("Plan"):
        # Everything that the person wrote is checked before the first minute is spent on a medium.
        name = LABORATORY if request.iso is None else None
        draft = make_plan(request.profile, request.site, name or platform_names()[0], closed=request.closed)
        if request.closed and draft.site.seed.key is not None and request.sign_key is None:
            raise BadInput(
                "the site has seed.key: its image can be verified with a signed seed only",
                hint="--sign-key FILE",
            )
        if request.signatures is not None:
            check_signatures(request.signatures, draft)
        if request.updates is not None and request.iso is None:
            raise BadInput(
                "UPDATES holds RPMs, which the laboratory can't install",
                hint="give the RHEL 8.3 DVD with ISO=",
            )
        if request.iso is None:
            say("no ISO was given: this will be a LABORATORIO image, not RHEL")
            return draft, inspect_medium(find_laboratory_dvd(request))
        original = inspect_medium(request.iso)
        updates = request.updates is not None
        plan = make_plan(
            request.profile, request.site, platform_of(original), updates=updates, closed=request.closed
        )
        check_medium(original)
        if request.site is None:
            say(f"no SITE was given: {EXAMPLE.name} lets nobody log in; good for a trial, not for a server")
        return plan, original


def check_signatures(folder: Path, plan: Plan) -> None:
    """Check the virus signatures that were brought, and say how old they are.

    Raises:
        BadInput: the image holds no antivirus; one is missing, damaged, or not signed by ClamAV.
    """
    if not plan.has("clamav"):
        raise BadInput(f"{plan.profile.name} has no overlay clamav, which SIGNATURES is for")
    now, limit = datetime.now(UTC), plan.profile.values.signatures_days
    databases = read_signatures(folder)
    for line in list_signatures(databases, now):
        say(line)
    days = next(database.age(now) for database in databases if database.name == "daily")
    if days > limit:
        warn(f"daily.cvd is {days} days old; {plan.profile.name} calls them old after {limit}")


def platform_of(original: Original) -> str:
    """Return the platform that a medium is of.

    Raises:
        BadInput: it is of none that we know; the message says what it is.
    """
    for name in platform_names():
        identity = read_platform(name).identity
        version_fits = original.version == identity.version or original.version.startswith(
            f"{identity.version}."
        )
        if original.name in identity.names and version_fits and original.arch == identity.arch:
            return name
    found = f"{original.name} {original.version} {original.arch}"
    raise BadInput(
        f"{original.path} is '{found}', which Forja can't build from",
        hint="the guide is for Red Hat Enterprise Linux 8.3 x86_64: give that DVD",
    )


def find_laboratory_dvd(request: Request) -> Path:
    """Return the laboratory DVD, made now or found in the cache."""
    platform = read_platform(LABORATORY)
    cache = request.cache.resolve()
    require_space(cache, 3000 * MIB, purpose="make the laboratory medium")
    asked = {package for name in overlay_names() for package in read_overlay(name).packages}
    content = Content(
        name=platform.identity.names[0],
        version=platform.identity.version,
        volume_id="FORJA-LABORATORIO-8-3-x86_64",
        packages={**{package: (package,) for package in asked}, **platform.packages},
        services=platform.services,
        not_shown={name: text.es for name, text in platform.not_shown.items()},
    )
    return make_dvd(content, cache=cache, log=cache / "laboratorio.log")


def name_of(request: Request, original: Original) -> str:
    """Return what tells a DVD apart; the laboratory's is named by its content and dated by its use."""
    return fingerprint(request.iso) if request.iso else original.path.name


def signature_files(request: Request) -> tuple[Path, ...]:
    """Return the files of the virus signatures that were brought."""
    if request.signatures is None:
        return ()
    return tuple(sorted(path for path in request.signatures.glob("*.cvd") if path.stem in SIGNATURES))


def list_updates(request: Request) -> str:
    """Return what tells the content of the folder of updates apart."""
    files = sorted(path for path in request.updates.rglob("*") if path.is_file()) if request.updates else []
    return " ".join(fingerprint(path) for path in files)
