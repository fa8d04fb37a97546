"""RPM files, held against the keys that are believed: who signed each, and whether it is what was signed."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.make.packages.keys import Key
from builder.tools.errors import BadInput
from builder.tools.host import find_system_python
from builder.tools.process import run

READER = Path(__file__).with_name("reader.py")
ARCHITECTURES = ("x86_64", "noarch")
NAMED = 6
"""How many bad packages an error names before it counts the others."""


@dataclass(frozen=True)
class Place:
    """Where an RPM lies: a file of its own, or a part of an ISO; in bytes."""

    name: str
    file: Path
    offset: int
    size: int


@dataclass(frozen=True)
class Rpm:
    """An RPM that is right: what it says of itself, and by which key it is signed."""

    place: Place
    nevra: str
    name: str
    arch: str
    sha256: str
    key: Key


def read_rpms(places: Sequence[Place], keys: Sequence[Key], work: Path, log: Path) -> list[Rpm]:
    """Check signature, digests and architecture of RPMs, and return them in the same order.

    Raises:
        BadInput: one is damaged, unsigned, signed by a key that is not believed (for it), or for another
            architecture; the message names it, and says what to do.
    """
    database = work / "rpmdb"
    database.mkdir(parents=True, exist_ok=True)
    request = {
        "database": str(database),
        "keys": [base64.b64encode(key.packet).decode() for key in keys],
        "rpms": [[str(place.file), place.offset, place.size] for place in places],
    }
    answers = ask_system_python(READER, request, work, log, doing="check the signatures of the packages")
    rpms: list[Rpm] = []
    faults: list[str] = []
    hints: list[str] = []
    for place, answer in zip(places, answers, strict=True):
        key = next((key for key in keys if answer["key_id"] in key.ids), None)
        fault, hint = fault_of(answer, key)
        if fault or key is None:
            faults.append(f"{place.name} {fault}")
            hints.append(hint)
            continue
        nevra = "{name}-{epoch}:{version}-{release}.{arch}".format(**answer)
        rpms.append(Rpm(place, nevra, answer["name"], answer["arch"], answer["sha256"], key))
    if faults:
        more = f", and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise BadInput("; ".join(faults[:NAMED]) + more, hint=hints[0])
    return rpms


def fault_of(answer: dict[str, str], key: Key | None) -> tuple[str, str]:
    """Return what is wrong with an RPM, and what to do about it; nothing when it is right."""
    again = "bring it again, and compare its SHA-256 with the publisher's"
    if answer["fault"] == "public key not available":
        return (
            f"is signed with the key {answer['key_id']}, which is not believed",
            "name the vendor's key file in packages.keys of the site file, or the organisation's own "
            "in [[packages.own_keys]]",
        )
    if answer["fault"]:
        return f"is damaged or is no RPM ({answer['fault']})", again
    if not answer["key_id"]:
        return (
            "is not signed",
            "bring the package that the vendor signed, or sign it with the organisation's key",
        )
    if answer["arch"] not in ARCHITECTURES:
        return f"is for {answer['arch']}, not for x86_64", "take it out of UPDATES"
    if key is None or not key.may_sign(answer["name"]):
        name = key.name if key else answer["key_id"]
        return (
            f"is signed by {name}, which may not sign it",
            "add the package to that key's `packages` in the site file, or bring the vendor's",
        )
    return "", ""


def ask_system_python(
    program: Path, request: object, work: Path, log: Path, *, doing: str
) -> list[dict[str, str]]:
    """Run one of our programs with the system's Python, where dnf and rpm live, and return its answer."""
    question, answer = work / f"{program.stem}.request.json", work / f"{program.stem}.answer.json"
    question.write_text(json.dumps(request), encoding="utf-8")
    run([find_system_python(), "-I", program, question, answer], doing=doing, log=log)
    found: list[dict[str, str]] = json.loads(answer.read_text(encoding="utf-8"))
    return found
