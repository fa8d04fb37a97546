"""The words that a person types: `forja VERB`. No logic: it parses, calls, and shows errors as one line."""

from __future__ import annotations

import argparse
import signal
import sys
import types
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from builder import __version__
from builder.ask import catalogue, requirements
from builder.ask.difference import compare_profiles
from builder.ask.fleet import read_fleet
from builder.ask.marks import read_marks
from builder.ask.plan import Plan, make_plan, read_draft
from builder.ask.profile import profile_names, read_profile
from builder.ask.reading import REPOSITORY
from builder.doctor import run_doctor
from builder.fleet import kickstarts_of, seeds_of, write_fleet
from builder.make.archive import write_archive
from builder.make.bundle import NEEDS, Wish, check_wish, make_bundle, parse_size
from builder.make.findings import Findings, Verdict
from builder.make.image import Resources
from builder.make.image import Way as ImageWay
from builder.make.inspection import check_medium, to_json, to_lines
from builder.make.kickstart import write_kickstart
from builder.make.listing import list_controls, list_differences, list_profiles, list_requirements
from builder.make.medium import Way as MediumWay
from builder.make.overlay import write_overlay
from builder.make.report import write_reports
from builder.make.report.comparison import compare
from builder.make.report.comparison import to_lines as to_table
from builder.make.report.listing import read_listing
from builder.make.report.words import Words
from builder.make.resolution import Resolution
from builder.make.signatures import list_signatures, read_signatures
from builder.pipeline import (
    judge,
    judge_change,
    make_golden_image,
    make_medium_only,
    resolve_only,
    verify_again,
    verify_running,
    write_seeds,
)
from builder.request import Request, find_laboratory_dvd, platform_of
from builder.room import Room, read_findings, read_plan, read_resolution
from builder.tools.console import say
from builder.tools.errors import BadInput, ExitCode, ForjaError
from builder.tools.iso import inspect_medium
from builder.tools.machine import FirmwareKind

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code (docs/reference/exit-codes.md)."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        arguments = make_parser().parse_args(argv)
        verb: Callable[[argparse.Namespace], int] = arguments.verb
        return verb(arguments)
    except ForjaError as error:
        say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted: what was running is ended; nothing half-made is left under a final name")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return ExitCode.OK


def _interrupt(_number: int, _frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs; the reference of the command line is held against it."""
    parser = argparse.ArgumentParser(
        prog="forja", description="Hardened, verified golden images of a Postfix relay (CCN-STIC-681)."
    )
    parser.add_argument("--version", action="version", version=f"forja {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _verbs_that_make(verbs)
    _verbs_that_look(verbs)
    return parser


def _verbs_that_make(verbs: Verbs) -> None:
    image = _verb(verbs, "image", image_verb, "from the medium to a verified image with its report")
    _request(image, medium=True, image=True)
    resolve = _verb(verbs, "resolve", resolve_verb, "the packages that will be installed, solved and checked")
    _request(resolve)
    inspect = _verb(verbs, "inspect", inspect_verb, "what an installation ISO is, and whether it is whole")
    inspect.add_argument("iso", type=Path, metavar="ISO", help="the RHEL 8.3 DVD")
    inspect.add_argument("--sha256", metavar="HEX", help="digest that the whole ISO must have")
    inspect.add_argument(
        "--sums", type=Path, metavar="FILE", help="SHA256SUMS or CHECKSUM that names the ISO"
    )
    inspect.add_argument("--json", action="store_true", help="as JSON")
    medium = _verb(verbs, "medium", medium_verb, "the installation ISO that installs by itself")
    _request(medium, medium=True)
    medium.add_argument(
        "--hyperv", type=Path, metavar="FOLDER", help="also the folder that a Windows host builds from"
    )
    seed = _verb(verbs, "seed", seed_verb, "the CD that makes a server of a closed image, one a site file")
    seed.add_argument("folder", type=Path, metavar="FOLDER", help="the closed image's: its plan and overlay")
    seed.add_argument("sites", type=Path, nargs="*", metavar="SITE", help="a server's TOML file")
    seed.add_argument("--output", type=Path, help="folder of the seeds (default: here; a fleet's: a new one)")
    seed.add_argument("--site", type=Path, help="the TOML file below the fleet (default: the example)")
    _fleet(seed)
    _sign_key(seed)
    plan = _verb(verbs, "plan", plan_verb, "profile, site and platform joined, as JSON")
    _draft(plan)
    kickstart = _verb(verbs, "kickstart", kickstart_verb, "the kickstart, checked as RHEL 8 reads it")
    _draft(kickstart, output=True)
    _fleet(kickstart)
    overlay = _verb(verbs, "overlay", overlay_verb, "the overlay archive, or one for a server in use")
    _draft(overlay, output=True)
    overlay.add_argument("--archive", action="store_true", help="with a program that applies it to a server")
    signed = overlay.add_mutually_exclusive_group()
    signed.add_argument("--key", metavar="FINGERPRINT", help="the key that signs the archive")
    signed.add_argument("--unsigned", action="store_true", help="an archive that nobody signs")
    overlay.add_argument("--gpg-home", type=Path, metavar="FOLDER", help="GnuPG's folder with that key")
    bundle = _verb(verbs, "bundle", bundle_verb, "all that a host without a network needs, in one archive")
    signed = bundle.add_mutually_exclusive_group()
    signed.add_argument("--key", metavar="FINGERPRINT", help="the key that signs it")
    signed.add_argument("--unsigned", action="store_true", help="a bundle that nobody signs")
    bundle.add_argument("--gpg-home", type=Path, metavar="FOLDER", help="GnuPG's folder with that key")
    bundle.add_argument("--split", metavar="SIZE", help="parts of at most this size: 4000M, 4G")
    bundle.add_argument("--needs", nargs="+", choices=NEEDS, help="what that host is for (default: all)")
    bundle.add_argument("--output", type=Path, default=Path("build"), help="folder that it is put into")
    bundle.add_argument(
        "--cache", type=Path, default=Path(".cache"), help="folder of what was fetched before"
    )


def _sign_key(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--sign-key", type=Path, metavar="FILE", help="private key that signs the seed (PEM)")


def _verbs_that_look(verbs: Verbs) -> None:
    _verify(verbs)
    report = _verb(
        verbs, "report", report_verb, "the lista de comprobación again, or those of two images compared"
    )
    report.add_argument(
        "folder", type=Path, nargs="?", metavar="FOLDER", help="folder with plan.json and findings.json"
    )
    report.add_argument(
        "--compare", type=Path, nargs=2, metavar=("OLD", "NEW"), help="folders of two images: what changed"
    )
    report.add_argument("--format", choices=["text", "json"], default="text", help="of what --compare prints")
    _lang(report)
    controls = _verb(verbs, "controls", controls_verb, "what is asked, how it is answered, and what sees it")
    controls.add_argument("profile", nargs="?", metavar="PROFILE", help="of this profile only")
    controls.add_argument("--ccn", action="store_true", help="CCN's requirements for the system instead")
    _format(controls, "table", "csv", "json")
    _lang(controls)
    profiles = _verb(verbs, "profiles", profiles_verb, "the profiles there are, side by side")
    _lang(profiles)
    diff = _verb(verbs, "diff", diff_verb, "what differs between two profiles, and why")
    diff.add_argument("first", metavar="PROFILE", help="see `forja profiles`")
    diff.add_argument("second", metavar="PROFILE", help="the one to compare it with")
    _format(diff, "table", "json")
    _lang(diff)
    signatures = _verb(
        verbs, "signatures", signatures_verb, "what virus signatures are, and whether they are whole"
    )
    signatures.add_argument("folder", type=Path, metavar="FOLDER", help="folder with main.cvd and daily.cvd")
    doctor = _verb(verbs, "doctor", doctor_verb, "what this host has and lacks, each with its remedy")
    _folders(doctor)


def _verify(verbs: Verbs) -> None:
    verify = _verb(verbs, "verify", verify_verb, "look at every control of an image, or of a server in use")
    verify.add_argument(
        "target", metavar="IMAGE|HOST", help="the qcow2 or VHDX that Forja built, or a host for ssh"
    )
    verify.add_argument("--plan", type=Path, help="its plan.json (default: beside the image)")
    verify.add_argument(
        "--output", type=Path, help="folder for findings and report (default: NAME.verification)"
    )
    verify.add_argument("--control", action="append", metavar="ID", help="look at this one only")
    _lang(verify)
    image = verify.add_argument_group("of an image")
    image.add_argument("--medium", type=Path, help="the ISO it was installed from (default: beside it)")
    _sign_key(image)
    image.add_argument(
        "--firmware", choices=[kind.value for kind in FirmwareKind], help="what it boots with (default: bios)"
    )
    host = verify.add_argument_group("of a server in use")
    host.add_argument("--profile", help="instead of --plan: see `forja profiles`")
    host.add_argument("--site", type=Path, help="with --profile: the organisation's TOML file")
    host.add_argument("--platform", help="with --profile: rhel-8.3 (default) or laboratorio")
    host.add_argument("--ssh-config", type=Path, metavar="FILE", help="instead of ssh's own configuration")
    host.add_argument(
        "--verified", type=Path, metavar="FOLDER", help="its image's, for what a server in use is spared"
    )


def image_verb(arguments: argparse.Namespace) -> int:
    """`forja image`: the whole way."""
    request = _request_of(arguments)
    room, findings = make_golden_image(request)
    summarize(room, findings)
    judge(room.plan, findings, room.folder)
    return ExitCode.OK


def resolve_verb(arguments: argparse.Namespace) -> int:
    """`forja resolve`: the way as far as the packages, and the list of them."""
    room, resolution = resolve_only(_request_of(arguments))
    for line in list_packages(resolution):
        print(line)
    print(room.path("packages"))
    print(room.path("packages").with_suffix(".lock"))
    return ExitCode.OK


def inspect_verb(arguments: argparse.Namespace) -> int:
    """`forja inspect`: what an installation ISO is."""
    original = inspect_medium(arguments.iso)
    platform = platform_of(original)
    inspection = check_medium(original, digest=arguments.sha256, sums=arguments.sums)
    print(to_json(inspection, platform) if arguments.json else "\n".join(to_lines(inspection, platform)))
    return ExitCode.OK


def medium_verb(arguments: argparse.Namespace) -> int:
    """`forja medium`: the way as far as the medium; and the folder that a Windows host builds from."""
    print(make_medium_only(_request_of(arguments), arguments.hyperv).path("medium"))
    if arguments.hyperv is not None:
        print(arguments.hyperv)
    return ExitCode.OK


def seed_verb(arguments: argparse.Namespace) -> int:
    """`forja seed`: a seed for each site, or those of a fleet."""
    if (arguments.fleet is None) == (not arguments.sites) or (arguments.site and not arguments.fleet):
        raise BadInput("forja seed needs a SITE or more, or --fleet CSV (with --site FILE), and not both")
    if arguments.fleet is not None:
        fleet = read_fleet(arguments.fleet, arguments.site)
        print(write_fleet(fleet, seeds_of(arguments.folder, arguments.sign_key), arguments.output))
        return ExitCode.OK
    for path in write_seeds(
        arguments.folder, arguments.sites, arguments.output or Path(), arguments.sign_key
    ):
        print(path)
    return ExitCode.OK


def plan_verb(arguments: argparse.Namespace) -> int:
    """`forja plan`: the plan as JSON on standard output."""
    print(_plan_of(arguments).model_dump_json(indent=2))
    return ExitCode.OK


def kickstart_verb(arguments: argparse.Namespace) -> int:
    """`forja kickstart`: the kickstart alone, or those of a fleet."""
    if arguments.fleet is not None:
        fleet = read_fleet(arguments.fleet, arguments.site)
        kind = kickstarts_of(read_draft(arguments.profile, arguments.platform))
        print(write_fleet(fleet, kind, arguments.output))
        return ExitCode.OK
    plan = _plan_of(arguments)
    print(write_kickstart(plan, arguments.output or Path(f"{plan.profile.name}.ks")))
    return ExitCode.OK


def overlay_verb(arguments: argparse.Namespace) -> int:
    """`forja overlay`: the overlay archive alone."""
    signing = arguments.key or arguments.unsigned
    if arguments.archive and not signing:
        raise BadInput(
            "--archive needs the fingerprint of the key that signs it",
            hint="--key FINGERPRINT, or --unsigned for one that nobody should trust",
        )
    if not arguments.archive and (signing or arguments.gpg_home):
        raise BadInput("--key, --gpg-home and --unsigned go with --archive", hint="add --archive")
    plan = _plan_of(arguments)
    if arguments.archive:
        made = write_archive(plan, arguments.output, key=arguments.key, gpg_home=arguments.gpg_home)
        print("\n".join(map(str, made)))
        return ExitCode.OK
    print(write_overlay(plan, arguments.output or Path(f"{plan.name}.overlay.tar")))
    return ExitCode.OK


def bundle_verb(arguments: argparse.Namespace) -> int:
    """`forja bundle`: all that a host without a network needs."""
    if not arguments.key and not arguments.unsigned:
        raise BadInput(
            "a bundle needs the fingerprint of the key that signs it",
            hint="KEY=FINGERPRINT (--key), or UNSIGNED=1 (--unsigned) for one that nobody should trust",
        )
    wish = Wish(
        needs=tuple(arguments.needs or NEEDS),
        output=arguments.output,
        cache=arguments.cache,
        split=parse_size(arguments.split) if arguments.split else None,
        key=arguments.key,
        gpg_home=arguments.gpg_home,
    )
    commit = check_wish(wish, REPOSITORY)
    # The DVD is the same for every profile.
    asked = Request(profile_names()[0], cache=arguments.cache)
    print(make_bundle(wish, commit, find_laboratory_dvd(asked) if "lab" in wish.needs else None))
    return ExitCode.OK


def verify_verb(arguments: argparse.Namespace) -> int:
    """`forja verify`: the verification alone, of any image that Forja built, or of a server in use."""
    target: str = arguments.target
    if Path(target).exists() or "/" in target or target.endswith((".qcow2", ".vhdx")):
        _refuse(arguments, "a server in use", "profile", "site", "platform", "verified", "ssh_config")
        plan, findings, folder = verify_again(
            Path(target),
            plan_file=arguments.plan,
            medium=arguments.medium,
            output=arguments.output,
            firmware=FirmwareKind(arguments.firmware or "bios"),
            lang=arguments.lang,
            controls=arguments.control or (),
            sign_key=arguments.sign_key,
        )
    else:
        _refuse(arguments, f"an image, and there is no file {target}", "medium", "firmware", "sign_key")
        plan = _plan_of_server(arguments)
        findings, folder = verify_running(
            target,
            plan,
            config=arguments.ssh_config,
            packages=arguments.plan and arguments.plan.parent / "packages.json",
            output=arguments.output,
            lang=arguments.lang,
            controls=arguments.control or (),
            verified=arguments.verified,
        )
    _show_sums(plan, findings)
    print(
        folder / ("lista-de-comprobacion.html" if arguments.lang == "es" else "lista-de-comprobacion.en.html")
    )
    judge(plan, findings, folder)
    return ExitCode.OK


def _refuse(arguments: argparse.Namespace, what: str, *names: str) -> None:
    """Refuse options that are for something else.

    Raises:
        BadInput: it names the first one.
    """
    given = [name for name in names if getattr(arguments, name) is not None]
    if given:
        raise BadInput(
            f"--{given[0].replace('_', '-')} is for {what}",
            hint="`forja verify --help` says what is for which",
        )


def _plan_of_server(arguments: argparse.Namespace) -> Plan:
    """Return what was asked of a server: the plan that it was made from, or one of profile and site.

    Raises:
        BadInput: neither is given, or both are.
    """
    if arguments.plan is not None:
        _refuse(arguments, "a server without --plan", "profile", "site", "platform")
        return read_plan(arguments.plan)
    if arguments.profile is None:
        raise BadInput(
            f"what is {arguments.target} to be held against?",
            hint="give the plan.json of its image with --plan, or --profile and --site",
        )
    return make_plan(arguments.profile, arguments.site, arguments.platform or "rhel-8.3")


def report_verb(arguments: argparse.Namespace) -> int:
    """`forja report`: the report again, in a language; or what changed between two images."""
    if (arguments.folder is None) == (arguments.compare is None):
        raise BadInput("forja report needs the FOLDER of an image, or --compare OLD NEW (and not both)")
    if arguments.compare is not None:
        comparison = compare(*map(read_listing, arguments.compare))
        as_json = arguments.format == "json"
        lines = (
            [comparison.model_dump_json(indent=1)] if as_json else to_table(comparison, Words(arguments.lang))
        )
        print("\n".join(lines))
        judge_change(comparison)
        return ExitCode.OK
    room = Room.at(arguments.folder)
    findings = read_findings(room.path("verification"))
    packages = room.path("packages")
    resolution = read_resolution(packages) if packages.exists() else None
    for path in write_reports(room.plan, findings, resolution, room.folder, langs=[arguments.lang]):
        print(path)
    return ExitCode.OK


def controls_verb(arguments: argparse.Namespace) -> int:
    """`forja controls`: the matrix of controls, or CCN's requirements with our answers."""
    words = {"form": arguments.format, "lang": arguments.lang}
    if arguments.ccn:
        rows = requirements.read_requirements()
        print(list_requirements(rows, requirements.sums(rows), **words))
        return ExitCode.OK
    entries = catalogue.read_catalogue(read_marks())
    shown = catalogue.of_profile(entries, arguments.profile) if arguments.profile else entries
    print(list_controls(shown, catalogue.sums(entries), **words))
    return ExitCode.OK


def profiles_verb(arguments: argparse.Namespace) -> int:
    """`forja profiles`: all profiles, a column each."""
    profiles = [read_profile(name) for name in profile_names()]
    print(list_profiles(profiles, catalogue.sums(catalogue.read_catalogue()), lang=arguments.lang))
    return ExitCode.OK


def diff_verb(arguments: argparse.Namespace) -> int:
    """`forja diff`: what differs between two profiles."""
    first, second = arguments.first, arguments.second
    found = compare_profiles(first, second, catalogue.read_catalogue())
    print(list_differences(found, first, second, form=arguments.format, lang=arguments.lang))
    return ExitCode.OK


def signatures_verb(arguments: argparse.Namespace) -> int:
    """`forja signatures`: what ClamAV's databases in a folder are."""
    print("\n".join(list_signatures(read_signatures(arguments.folder), datetime.now(UTC))))
    return ExitCode.OK


def doctor_verb(arguments: argparse.Namespace) -> int:
    """`forja doctor`: what the host has and lacks."""
    return run_doctor(arguments.build, arguments.cache)


def list_packages(resolution: Resolution) -> list[str]:
    """Return a set as lines for people: each package and why, then keys and advisories."""
    width = max((len(package.nevra) for package in resolution.packages), default=0)
    lines = [
        f"{package.nevra:{width}}  {package.repository:15}  {package.size / 1024:9.0f} KiB  {package.reason}"
        for package in resolution.packages
    ]
    signed = Counter(package.signer for package in resolution.packages)
    for signer in resolution.signers:
        own = " (the organisation's own)" if signer.own else ""
        lines.append(
            f"signed by {signer.fingerprint} {signer.name}{own}: {signed[signer.fingerprint]} packages"
        )
    for advisory in resolution.advisories:
        because = f": {advisory.because}" if advisory.because else ""
        severity = f" ({advisory.severity})" if advisory.severity else ""
        lines.append(f"{advisory.state}: {advisory.id} {advisory.kind}{severity} {advisory.title}{because}")
    return lines


def summarize(room: Room, findings: Findings) -> None:
    """Print what was made, what was seen, and (loudly) what a laboratory image is not."""
    for name in sorted(name for names in room.memory.stages.values() for name in names):
        if (room.folder / name).exists():
            print(room.folder / name)
    print(room.logs)
    _show_sums(room.plan, findings)
    mark = room.plan.platform.mark
    if mark:
        print(f"\n*** {mark.es} ***")


def _show_sums(plan: Plan, findings: Findings) -> None:
    sums = findings.sums(plan.controls)
    print(
        f"controls: {sum(sums.values())}: {sums[Verdict.HOLDS]} hold, {sums[Verdict.FAILS]} fail, "
        f"{sums[Verdict.NOT_VERIFIED]} not verified, {sums[Verdict.MANUAL]} manual, "
        f"{sums[Verdict.NOT_APPLICABLE]} not applicable"
    )


def _verb(
    verbs: Verbs,
    name: str,
    function: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(verb=function)
    return parser


def _request(parser: argparse.ArgumentParser, *, medium: bool = False, image: bool = False) -> None:
    parser.add_argument("profile", metavar="PROFILE", help="see `forja profiles`")
    parser.add_argument("--site", type=Path, help="the organisation's TOML file (default: the example)")
    parser.add_argument("--iso", type=Path, help="the RHEL 8.3 DVD (default: the laboratory medium)")
    parser.add_argument("--updates", type=Path, help="folder of RPMs that the DVD lacks")
    parser.add_argument(
        "--locked", type=Path, metavar="FILE", help="packages.lock that the set must be equal to"
    )
    _folders(parser)
    if medium:
        ways = [way.value for way in MediumWay]
        parser.add_argument("--signatures", type=Path, help="folder of ClamAV's main.cvd and daily.cvd")
        parser.add_argument("--trim", action="store_true", help="leave out the packages that are not needed")
        parser.add_argument(
            "--closed", action="store_true", help="an image that knows no server until a seed makes one of it"
        )
        parser.add_argument("--medium-with", choices=ways, help="what writes the medium (default: xorriso)")
    if image:
        _sign_key(parser)
        _firmware(parser)
        _lang(parser)
        parser.add_argument(
            "--image-with",
            choices=[way.value for way in ImageWay],
            default="packer",
            help="what runs the machine that installs",
        )
        parser.add_argument("--memory", type=int, default=2048, metavar="MIB", help="memory of the installer")
        parser.add_argument("--cpus", type=int, default=2, help="processors of the installer")
        parser.add_argument("--hours", type=int, default=3, help="time limit of the installation")


def _draft(parser: argparse.ArgumentParser, *, output: bool = False) -> None:
    parser.add_argument("profile", metavar="PROFILE", help="see `forja profiles`")
    parser.add_argument("--site", type=Path, help="the organisation's TOML file (default: the example)")
    parser.add_argument("--platform", default="rhel-8.3", help="rhel-8.3 (default) or laboratorio")
    if output:
        parser.add_argument("--output", type=Path, help="file to write")


def _fleet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fleet", type=Path, metavar="CSV", help="table with a line for each server; OUTPUT is a folder then"
    )


def _folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder of the artefacts")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder of the laboratory DVD")


def _firmware(parser: argparse.ArgumentParser) -> None:
    kinds = [kind.value for kind in FirmwareKind]
    parser.add_argument("--firmware", choices=kinds, default="bios", help="what the machine boots with")


def _format(parser: argparse.ArgumentParser, *forms: str) -> None:
    parser.add_argument("--format", choices=forms, default="table", help="how it is printed")


def _lang(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lang", choices=["es", "en"], default="es", help="language of what end users read")


def _request_of(arguments: argparse.Namespace) -> Request:
    medium, image = hasattr(arguments, "trim"), hasattr(arguments, "firmware")
    return Request(
        profile=arguments.profile,
        site=arguments.site,
        iso=arguments.iso,
        updates=arguments.updates,
        locked=arguments.locked,
        build=arguments.build,
        cache=arguments.cache,
        **(
            {
                "signatures": arguments.signatures,
                "trim": arguments.trim,
                "closed": arguments.closed,
                "medium_way": arguments.medium_with and MediumWay(arguments.medium_with),
            }
            if medium
            else {}
        ),
        **(
            {
                "firmware": FirmwareKind(arguments.firmware),
                "lang": arguments.lang,
                "sign_key": arguments.sign_key,
                "image_way": ImageWay(arguments.image_with),
                "resources": Resources(arguments.memory, arguments.cpus, arguments.hours),
            }
            if image
            else {}
        ),
    )


def _plan_of(arguments: argparse.Namespace) -> Plan:
    return make_plan(arguments.profile, arguments.site, arguments.platform)


if __name__ == "__main__":
    sys.exit(main())
