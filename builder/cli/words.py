"""The words that several verbs share, and what they come to."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from builder.ask.plan import Plan, make_plan
from builder.make.image import Resources
from builder.make.image import Way as ImageWay
from builder.make.medium import Way as MediumWay
from builder.request import Request
from builder.tools.machine import FirmwareKind

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_verb(
    verbs: Verbs,
    name: str,
    function: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    """Add a verb that calls a function, and return its parser."""
    parser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(verb=function)
    return parser


def add_request(parser: argparse.ArgumentParser, *, medium: bool = False, image: bool = False) -> None:
    """Add what `request_of` reads, as far as the medium or the image if the verb goes there."""
    parser.add_argument("profile", metavar="PROFILE", help="see `forja profiles`")
    parser.add_argument("--site", type=Path, help="the organisation's TOML file (default: the example)")
    parser.add_argument("--iso", type=Path, help="the RHEL 8.3 DVD (default: the laboratory medium)")
    parser.add_argument("--updates", type=Path, help="folder of RPMs that the DVD lacks")
    parser.add_argument(
        "--locked", type=Path, metavar="FILE", help="packages.lock that the set must be equal to"
    )
    add_folders(parser)
    if medium:
        ways = [way.value for way in MediumWay]
        parser.add_argument("--signatures", type=Path, help="folder of ClamAV's main.cvd and daily.cvd")
        parser.add_argument("--trim", action="store_true", help="leave out the packages that are not needed")
        parser.add_argument(
            "--closed", action="store_true", help="an image that knows no server until a seed makes one of it"
        )
        parser.add_argument("--medium-with", choices=ways, help="what writes the medium (default: xorriso)")
    if image:
        add_sign_key(parser)
        add_firmware(parser)
        add_lang(parser)
        parser.add_argument(
            "--image-with",
            choices=[way.value for way in ImageWay],
            default="packer",
            help="what runs the machine that installs",
        )
        parser.add_argument("--memory", type=int, default=2048, metavar="MIB", help="memory of the installer")
        parser.add_argument("--cpus", type=int, default=2, help="processors of the installer")
        parser.add_argument("--hours", type=int, default=3, help="time limit of the installation")


def add_draft(parser: argparse.ArgumentParser, *, output: bool = False) -> None:
    """Add what `plan_of` reads."""
    parser.add_argument("profile", metavar="PROFILE", help="see `forja profiles`")
    parser.add_argument("--site", type=Path, help="the organisation's TOML file (default: the example)")
    parser.add_argument("--platform", default="rhel-8.3", help="rhel-8.3 (default) or laboratorio")
    if output:
        parser.add_argument("--output", type=Path, help="file to write")


def add_fleet(parser: argparse.ArgumentParser) -> None:
    """Add the table of a fleet."""
    parser.add_argument(
        "--fleet", type=Path, metavar="CSV", help="table with a line for each server; OUTPUT is a folder then"
    )


def add_sign_key(parser: argparse._ActionsContainer) -> None:
    """Add the key of seeds."""
    parser.add_argument("--sign-key", type=Path, metavar="FILE", help="private key that signs the seed (PEM)")


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the folders of artefacts and of what is kept between runs."""
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder of the artefacts")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder of the laboratory DVD")


def add_firmware(parser: argparse.ArgumentParser) -> None:
    """Add the firmware of a machine."""
    kinds = [kind.value for kind in FirmwareKind]
    parser.add_argument("--firmware", choices=kinds, default="bios", help="what the machine boots with")


def add_format(parser: argparse.ArgumentParser, *forms: str) -> None:
    """Add the forms that a list is printed in."""
    parser.add_argument("--format", choices=forms, default="table", help="how it is printed")


def add_lang(parser: argparse.ArgumentParser) -> None:
    """Add the language."""
    parser.add_argument("--lang", choices=["es", "en"], default="es", help="language of what end users read")


def request_of(arguments: argparse.Namespace) -> Request:
    """Return what was asked of a verb that goes the way from the medium on."""
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


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Return the plan of what was asked of a verb that needs no medium."""
    return make_plan(arguments.profile, arguments.site, arguments.platform)
