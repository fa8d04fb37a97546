"""What dnf and libsolv say of a selection that can't be met, in a person's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from builder.ask.plan import Plan
from builder.make.resolution import UPDATES
from builder.tools.errors import BadInput

Versions = Mapping[str, Sequence[Sequence[str]]]
"""Name -> the versions there are, each with its repository."""

BRING = "bring the RPM that provides it in UPDATES (a connected host tells: dnf provides '{what}')"
RULES: list[tuple[str, Callable[[re.Match[str]], tuple[str, str]]]] = [
    (
        r"nothing provides (?P<what>.+) needed by (?P<who>\S+)",
        lambda m: (f"{m['who']} needs {m['what']}, which no repository has", BRING.format(what=m["what"])),
    ),
    (
        r"package (?P<who>\S+) requires (?P<what>.+), but none of the providers can be installed",
        lambda m: (f"{m['who']} needs {m['what']}, and nothing that provides it can be installed", ""),
    ),
    (
        r"package (?P<who>\S+) is filtered out by modular filtering",
        lambda m: (f"{m['who']} is of a module stream that is not enabled", "bring the stream's default"),
    ),
    (
        r"package (?P<who>\S+) is filtered out by exclude filtering",
        lambda m: (f"{m['who']} is excluded by the profile's overlays", "take it out of `excludes`"),
    ),
    (
        r"package (?P<who>\S+) (?P<how>conflicts with|obsoletes) (?P<what>.+) "
        r"provided by (?P<whom>\S+)",
        lambda m: (f"{m['who']} {m['how']} {m['whom']} ({m['what']})", "leave one of the two out"),
    ),
    (
        r"cannot install both (?P<who>\S+) and (?P<whom>\S+)",
        lambda m: (f"{m['who']} and {m['whom']} can't both be installed", "leave one of the two out"),
    ),
    (
        r"package (?P<who>\S+) does not have a compatible architecture",
        lambda m: (f"{m['who']} is for another architecture", "bring the x86_64 or noarch one"),
    ),
]
SILENT = ("conflicting requests", "cannot install the best candidate for the job")


def unsolvable(problems: Sequence[Sequence[str]]) -> BadInput:
    """Return the error for a selection that can't be solved.

    Args:
        problems: libsolv's rules, one list a problem.
    """
    said: list[str] = []
    hints: list[str] = []
    for rule in (rule for problem in problems for rule in problem):
        text, hint = translate(rule)
        if text and text not in said:
            said.append(text)
            hints += [hint] if hint else []
    return BadInput(
        f"the packages can't be installed together: {'; '.join(said) or 'dnf gives no reason'}",
        hint=hints[0] if hints else "see the log of the packages stage",
    )


def translate(rule: str) -> tuple[str, str]:
    """Return one of libsolv's rules in a person's words, and what to do; the rule itself if it is unknown."""
    # Some releases of libdnf say which repository each package is from, others don't.
    plain = re.sub(r" from [\w.-]+(?=$|,| )", "", rule.strip())
    for pattern, words in RULES:
        match = re.fullmatch(pattern, plain)
        if match:
            return words(match)
    return ("", "") if rule.strip() in SILENT else (rule.strip(), "")


def missing(plan: Plan, specs: Sequence[str], versions: Versions) -> BadInput:
    """Return the error for what was asked for and is nowhere.

    Args:
        specs: as asked for: names, name-version-release, or groups with @.
        versions: what there is of each pinned name.
    """
    for spec in specs:
        for name, version in plan.pins.items():
            if spec == f"{name}-{version}":
                there = [f"{evr} ({where(repository)})" for evr, repository in versions.get(name, ())]
                return BadInput(
                    f"the pinned package {spec} is neither on the DVD nor in UPDATES; "
                    f"there is {', '.join(there) or 'none of that name'}",
                    hint=f"bring {spec}.x86_64.rpm and what it needs in a folder, as UPDATES=",
                )
    groups = [spec for spec in specs if spec.startswith("@")]
    if groups:
        return BadInput(
            f"the DVD has no group or environment {', '.join(groups)}",
            hint="give the binary DVD, not the boot ISO",
        )
    return BadInput(
        f"neither the DVD nor UPDATES has {', '.join(specs)}",
        hint="bring the package and what it needs in a folder, as UPDATES=",
    )


def where(repository: str) -> str:
    """Return a repository's id as a person knows it."""
    return "in UPDATES" if repository == UPDATES else f"{repository} of the DVD"


def reason_words(plan: Plan, kind: str, what: str) -> str:
    """Return why a package is in the set, in a few words."""
    if kind == "group":
        return f"group {what}"
    if kind == "needed":
        return f"needed by {what}" if what else "weak or rich dependency"
    overlays = [
        overlay.name
        for overlay in plan.overlays
        if any(what in plan.platform.package(spec) for spec in overlay.packages)
    ]
    return f"asked for by overlay {', '.join(overlays)}" if overlays else f"asked for: {what}"
