"""What differs between two profiles, with the reason that the profile which brought it in gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from builder.ask.catalogue import Entry
from builder.ask.overlay import read_overlay
from builder.ask.profile import Mount, Profile, lineage, read_profile
from builder.ask.reading import Bilingual, Frozen

Kind = Literal["overlay", "value", "mount", "disk", "control"]


class Difference(Frozen):
    """One thing that two profiles have differently: None where one has it not."""

    kind: Kind
    name: str
    first: str | None
    second: str | None
    reason: Bilingual | None = None
    title: Bilingual | None = None
    """Of a control: what is asked."""


def compare_profiles(first: str, second: str, catalogue: Iterable[Entry]) -> tuple[Difference, ...]:
    """Return what differs between two profiles, with the reasons of those between them.

    Raises:
        BadInput: there is no such profile.
    """
    one, other = read_profile(first), read_profile(second)
    why = _reasons(first, second)
    parts: tuple[tuple[Kind, str, dict[str, str], dict[str, str]], ...] = (
        ("overlay", "", _overlays(one), _overlays(other)),
        ("value", "", _values(one), _values(other)),
        ("mount", "mounts", _mounts(one), _mounts(other)),
        ("disk", "disk_gib", {"disk_gib": str(one.disk_gib)}, {"disk_gib": str(other.disk_gib)}),
    )
    found = [
        Difference(kind=kind, name=name, first=left, second=right, reason=why.get(key or name))
        for kind, key, left_words, right_words in parts
        for name in dict.fromkeys((*left_words, *right_words))
        if (left := left_words.get(name)) != (right := right_words.get(name))
    ]
    for entry in catalogue:
        has = first in entry.profiles, second in entry.profiles
        if has[0] != has[1]:
            left, right = (entry.control.status if there else None for there in has)
            found.append(
                Difference(
                    kind="control",
                    name=entry.control.id,
                    first=left,
                    second=right,
                    reason=why.get(entry.overlay),
                    title=entry.control.title,
                )
            )
    return tuple(found)


def _reasons(first: str, second: str) -> dict[str, Bilingual]:
    """Return the reasons of the profiles between two, each key's from the one that comes last."""
    below = set(lineage(first)) & set(lineage(second))
    between = [name for name in (*lineage(first), *lineage(second)) if name not in below]
    return {key: reason for name in between for key, reason in read_profile(name).reasons.items()}


def _overlays(profile: Profile) -> dict[str, str]:
    return {name: has(profile, name) for name in profile.overlays}


def _values(profile: Profile) -> dict[str, str]:
    return {name: show(value) for name, value in profile.values}


def _mounts(profile: Profile) -> dict[str, str]:
    return {mount.path: _mount(mount) for mount in profile.mounts}


def _mount(mount: Mount) -> str:
    size = f"{mount.size_mib} MiB{'+' if mount.grow else ''}"
    return " ".join((mount.fstype, size, ",".join(mount.options) or "-"))


def has(profile: Profile, overlay: str) -> str:
    """Return how a profile has an overlay: `always`, `by-the-site` or `none`."""
    if overlay not in profile.overlays:
        return "none"
    return "by-the-site" if read_overlay(overlay).when else "always"


def show(value: object) -> str:
    """Return a value of a profile as its file writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
