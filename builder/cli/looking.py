"""The verbs that look at something: each with its words, and what it calls."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from builder.ask import catalogue, requirements
from builder.ask.difference import compare_profiles
from builder.ask.marks import read_marks
from builder.ask.plan import Plan, make_plan
from builder.ask.profile import profile_names, read_profile
from builder.cli.showing import show_sums
from builder.cli.words import Verbs, add_folders, add_format, add_lang, add_sign_key, add_verb
from builder.doctor import run_doctor
from builder.make.inspection import check_medium, to_json, to_lines
from builder.make.listing import list_controls, list_differences, list_profiles, list_requirements
from builder.make.report import write_reports
from builder.make.report.comparison import compare
from builder.make.report.comparison import to_lines as to_table
from builder.make.report.listing import read_listing
from builder.make.report.words import Words
from builder.make.signatures import list_signatures, read_signatures
from builder.request import platform_of
from builder.room import Room, read_findings, read_plan, read_resolution
from builder.tools.errors import BadInput, ExitCode
from builder.tools.iso import inspect_medium
from builder.tools.machine import FirmwareKind
from builder.verify import judge, judge_change, verify_again, verify_running


def add_verbs_that_look(verbs: Verbs) -> None:
    """Add them to the parser."""
    inspect = add_verb(verbs, "inspect", inspect_verb, "what an installation ISO is, and whether it is whole")
    inspect.add_argument("iso", type=Path, metavar="ISO", help="the RHEL 8.3 DVD")
    inspect.add_argument("--sha256", metavar="HEX", help="digest that the whole ISO must have")
    inspect.add_argument(
        "--sums", type=Path, metavar="FILE", help="SHA256SUMS or CHECKSUM that names the ISO"
    )
    inspect.add_argument("--json", action="store_true", help="as JSON")
    _add_verify(verbs)
    report = add_verb(
        verbs, "report", report_verb, "the lista de comprobación again, or those of two images compared"
    )
    report.add_argument(
        "folder", type=Path, nargs="?", metavar="FOLDER", help="folder with plan.json and findings.json"
    )
    report.add_argument(
        "--compare", type=Path, nargs=2, metavar=("OLD", "NEW"), help="folders of two images: what changed"
    )
    report.add_argument("--format", choices=["text", "json"], default="text", help="of what --compare prints")
    add_lang(report)
    controls = add_verb(
        verbs, "controls", controls_verb, "what is asked, how it is answered, and what sees it"
    )
    controls.add_argument("profile", nargs="?", metavar="PROFILE", help="of this profile only")
    controls.add_argument("--ccn", action="store_true", help="CCN's requirements for the system instead")
    add_format(controls, "table", "csv", "json")
    add_lang(controls)
    profiles = add_verb(verbs, "profiles", profiles_verb, "the profiles there are, side by side")
    add_lang(profiles)
    diff = add_verb(verbs, "diff", diff_verb, "what differs between two profiles, and why")
    diff.add_argument("first", metavar="PROFILE", help="see `forja profiles`")
    diff.add_argument("second", metavar="PROFILE", help="the one to compare it with")
    add_format(diff, "table", "json")
    add_lang(diff)
    signatures = add_verb(
        verbs, "signatures", signatures_verb, "what virus signatures are, and whether they are whole"
    )
    signatures.add_argument("folder", type=Path, metavar="FOLDER", help="folder with main.cvd and daily.cvd")
    doctor = add_verb(verbs, "doctor", doctor_verb, "what this host has and lacks, each with its remedy")
    add_folders(doctor)


def _add_verify(verbs: Verbs) -> None:
    verify = add_verb(
        verbs, "verify", verify_verb, "look at every control of an image, or of a server in use"
    )
    verify.add_argument(
        "target", metavar="IMAGE|HOST", help="the qcow2 or VHDX that Forja built, or a host for ssh"
    )
    verify.add_argument("--plan", type=Path, help="its plan.json (default: beside the image)")
    verify.add_argument(
        "--output", type=Path, help="folder for findings and report (default: NAME.verification)"
    )
    verify.add_argument("--control", action="append", metavar="ID", help="look at this one only")
    add_lang(verify)
    image = verify.add_argument_group("of an image")
    image.add_argument("--medium", type=Path, help="the ISO it was installed from (default: beside it)")
    add_sign_key(image)
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


def inspect_verb(arguments: argparse.Namespace) -> int:
    """`forja inspect`: what an installation ISO is."""
    original = inspect_medium(arguments.iso)
    platform = platform_of(original)
    inspection = check_medium(original, digest=arguments.sha256, sums=arguments.sums)
    print(to_json(inspection, platform) if arguments.json else "\n".join(to_lines(inspection, platform)))
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
    show_sums(plan, findings)
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
