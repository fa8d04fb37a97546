"""The kickstart's %packages on the payload: which Debian packages stay, and which were not asked for.

The payload holds everything that any kickstart may ask for; what this one does not ask for, and nothing
that it asks for depends on, is taken out again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .check import Note
from .dpkg import Installed
from .program import InstallError, run

UNMAPPED = "nada en Debian lo representa"


@dataclass(frozen=True)
class Selection:
    """What a kickstart's %packages comes to: Debian packages wanted and unwanted, and what is not shown."""

    wanted: frozenset[str]
    unwanted: frozenset[str]
    notes: tuple[Note, ...]


def resolve_name(spec: str, packages: Iterable[str]) -> tuple[str, str] | None:
    """Return the known RHEL package that a specification means and the rest of it (its version).

    A specification is a name, or name-version-release as dnf takes it; the longest name wins, and the
    rest must begin with a digit, so that ``postfix-pcre`` never means ``postfix``.
    """
    known = set(packages)
    if spec in known:
        return spec, ""
    for position in reversed([match.start() for match in re.finditer("-(?=[0-9])", spec)]):
        if spec[:position] in known:
            return spec[:position], spec[position + 1 :]
    return None


def select_packages(
    data: Any,
    mapping: Mapping[str, Iterable[str]],
    not_shown: Mapping[str, str],
    installed: Mapping[str, Installed],
) -> Selection:
    """Translate %packages into Debian packages.

    Args:
        data: pykickstart's Packages.
        mapping: RHEL package, ``@group`` or ``@^environment`` -> Debian packages.
        not_shown: the medium's list of what it can't show.
        installed: the packages of the payload.

    Raises:
        InstallError: a package that the medium does not have, unless ``--ignoremissing`` was given.
    """
    specs = [f"@{group.name}" for group in data.groupList] + list(data.packageList)
    if data.environment:
        specs.append(f"@^{data.environment}")
    excluded = [f"@{group.name}" for group in data.excludedGroupList] + list(data.excludedList)
    if not data.nocore and "@core" in mapping and "@core" not in excluded:
        specs.append("@core")
    wanted: set[str] = set()
    notes: list[Note] = []
    missing: list[str] = []
    for spec in dict.fromkeys(specs):
        resolved = resolve_name(spec, [*mapping, *not_shown])
        if resolved is None:
            missing.append(spec)
            continue
        name, version = resolved
        if name not in mapping or not mapping[name]:
            notes.append(Note(f"%packages {spec}", not_shown.get(name, UNMAPPED)))
            continue
        absent = [debian for debian in mapping[name] if debian not in installed]
        if absent:
            missing.append(f"{spec} ({', '.join(absent)})")
            continue
        wanted.update(mapping[name])
        if version:
            instead = ", ".join(f"{debian} {installed[debian].version}" for debian in mapping[name])
            notes.append(Note(f"%packages {spec}", f"la versión {version}; en su lugar, {instead}"))
    if missing:
        if not data.handleMissing:  # KS_MISSING_PROMPT
            raise InstallError(f"%packages: the medium has no {', '.join(missing)}")
        notes += [Note(f"%packages {spec}", "no está en el DVD (--ignoremissing)") for spec in missing]
    # A group that is excluded is only not asked for; a package that is excluded must not come at all.
    unwanted = {debian for spec in data.excludedList for debian in mapping.get(spec, ())}
    return Selection(frozenset(wanted - unwanted), frozenset(unwanted), tuple(notes))


def needed_whatever(installed: Mapping[str, Installed], base: Iterable[str]) -> set[str]:
    """Return the packages that stay whatever a kickstart asks: the base, and what dpkg calls essential."""
    essential = {package.name for package in installed.values() if package.essential}
    return essential | (set(base) & set(installed))


def close_over(
    installed: Mapping[str, Installed], wanted: Mapping[str, str], unwanted: Iterable[str] = ()
) -> set[str]:
    """Return packages of the payload with all that they need.

    Args:
        installed: the packages of the payload.
        wanted: packages of it -> who asks for them, in the words of the error message.
        unwanted: packages that must not be needed.

    Raises:
        InstallError: one of those is.
    """
    providers: dict[str, list[str]] = {}
    for package in installed.values():
        for name in (package.name, *(provided.name for provided in package.provides)):
            providers.setdefault(name, []).append(package.name)
    keep: set[str] = set()
    todo = list(wanted.items())
    while todo:
        name, needed_by = todo.pop()
        if name in keep:
            continue
        if name in unwanted:
            raise InstallError(f"%packages excludes what stands for {name}, which {needed_by} needs")
        keep.add(name)
        for alternatives in installed[name].needs:
            # All installed alternatives count: which one dpkg would be content with is not for us to pick.
            todo += [(found, name) for need in alternatives for found in providers.get(need.name, ())]
    return keep


def superfluous(installed: Mapping[str, Installed], selection: Selection, base: Iterable[str]) -> list[str]:
    """Return the installed packages that nothing asks for, sorted.

    Args:
        installed: the packages of the payload.
        selection: what the kickstart asks for.
        base: packages that stay whatever it asks for.

    Raises:
        InstallError: an excluded package is needed by one that stays.
    """
    wanted = dict.fromkeys(selection.wanted, "%packages")
    wanted |= dict.fromkeys(needed_whatever(installed, base), "the base system")
    return sorted(set(installed) - close_over(installed, wanted, selection.unwanted))


def purge(names: list[str]) -> None:
    """Take packages out of the target with their configuration; nothing is run when there are none."""
    if names:
        run(
            ["dpkg", "--purge", *names],
            doing=f"take out {len(names)} packages that are not asked for",
            chroot=True,
            # sudo would stay on a system without a password for root, which has none yet.
            env={"SUDO_FORCE_REMOVE": "yes"},
        )
