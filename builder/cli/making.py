"""The verbs that make something: each with its words, and what it calls."""

from __future__ import annotations

import argparse
from pathlib import Path

from builder.ask.fleet import read_fleet
from builder.ask.plan import read_draft
from builder.ask.profile import profile_names
from builder.ask.reading import REPOSITORY
from builder.cli.showing import list_packages, summarize
from builder.cli.words import (
    Verbs,
    add_draft,
    add_fleet,
    add_request,
    add_sign_key,
    add_verb,
    plan_of,
    request_of,
)
from builder.fleet import kickstarts_of, seeds_of, write_fleet
from builder.make.archive import write_archive
from builder.make.bundle import NEEDS, Wish, check_wish, make_bundle, parse_size
from builder.make.kickstart import write_kickstart
from builder.make.overlay import write_overlay
from builder.pipeline import make_golden_image, make_medium_only, resolve_only
from builder.request import Request, find_laboratory_dvd
from builder.seeds import write_seeds
from builder.tools.errors import BadInput, ExitCode
from builder.verify import judge


def add_verbs_that_make(verbs: Verbs) -> None:
    """Add them to the parser."""
    image = add_verb(verbs, "image", image_verb, "from the medium to a verified image with its report")
    add_request(image, medium=True, image=True)
    resolve = add_verb(
        verbs, "resolve", resolve_verb, "the packages that will be installed, solved and checked"
    )
    add_request(resolve)
    medium = add_verb(verbs, "medium", medium_verb, "the installation ISO that installs by itself")
    add_request(medium, medium=True)
    medium.add_argument(
        "--hyperv", type=Path, metavar="FOLDER", help="also the folder that a Windows host builds from"
    )
    seed = add_verb(verbs, "seed", seed_verb, "the CD that makes a server of a closed image, one a site file")
    seed.add_argument("folder", type=Path, metavar="FOLDER", help="the closed image's: its plan and overlay")
    seed.add_argument("sites", type=Path, nargs="*", metavar="SITE", help="a server's TOML file")
    seed.add_argument("--output", type=Path, help="folder of the seeds (default: here; a fleet's: a new one)")
    seed.add_argument("--site", type=Path, help="the TOML file below the fleet (default: the example)")
    add_fleet(seed)
    add_sign_key(seed)
    plan = add_verb(verbs, "plan", plan_verb, "profile, site and platform joined, as JSON")
    add_draft(plan)
    kickstart = add_verb(verbs, "kickstart", kickstart_verb, "the kickstart, checked as RHEL 8 reads it")
    add_draft(kickstart, output=True)
    add_fleet(kickstart)
    overlay = add_verb(verbs, "overlay", overlay_verb, "the overlay archive, or one for a server in use")
    add_draft(overlay, output=True)
    overlay.add_argument("--archive", action="store_true", help="with a program that applies it to a server")
    signed = overlay.add_mutually_exclusive_group()
    signed.add_argument("--key", metavar="FINGERPRINT", help="the key that signs the archive")
    signed.add_argument("--unsigned", action="store_true", help="an archive that nobody signs")
    overlay.add_argument("--gpg-home", type=Path, metavar="FOLDER", help="GnuPG's folder with that key")
    bundle = add_verb(verbs, "bundle", bundle_verb, "all that a host without a network needs, in one archive")
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


def image_verb(arguments: argparse.Namespace) -> int:
    """`forja image`: the whole way."""
    request = request_of(arguments)
    room, findings = make_golden_image(request)
    summarize(room, findings)
    judge(room.plan, findings, room.folder)
    return ExitCode.OK


def resolve_verb(arguments: argparse.Namespace) -> int:
    """`forja resolve`: the way as far as the packages, and the list of them."""
    room, resolution = resolve_only(request_of(arguments))
    for line in list_packages(resolution):
        print(line)
    print(room.path("packages"))
    print(room.path("packages").with_suffix(".lock"))
    return ExitCode.OK


def medium_verb(arguments: argparse.Namespace) -> int:
    """`forja medium`: the way as far as the medium; and the folder that a Windows host builds from."""
    print(make_medium_only(request_of(arguments), arguments.hyperv).path("medium"))
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
    print(plan_of(arguments).model_dump_json(indent=2))
    return ExitCode.OK


def kickstart_verb(arguments: argparse.Namespace) -> int:
    """`forja kickstart`: the kickstart alone, or those of a fleet."""
    if arguments.fleet is not None:
        fleet = read_fleet(arguments.fleet, arguments.site)
        kind = kickstarts_of(read_draft(arguments.profile, arguments.platform))
        print(write_fleet(fleet, kind, arguments.output))
        return ExitCode.OK
    plan = plan_of(arguments)
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
    plan = plan_of(arguments)
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
