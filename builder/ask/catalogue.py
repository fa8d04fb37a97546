"""The catalogue: every control of every overlay, its profiles, what implements it and what sees it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from builder.ask.control import Control
from builder.ask.overlay import Overlay, overlay_names, read_overlay
from builder.ask.profile import profile_names, read_profile
from builder.ask.reading import Frozen
from builder.tools.errors import BadInput


class Entry(Frozen):
    """A control where it stands: its overlay, its profiles, what implements it, the tests that see it."""

    control: Control
    overlay: str
    profiles: tuple[str, ...]
    where: tuple[str, ...]
    tests: tuple[str, ...] = ()


def read_catalogue(marks: Mapping[str, tuple[str, ...]] | None = None) -> tuple[Entry, ...]:
    """Return all controls, by section. A profile has those of its overlays, a site may leave some out.

    Args:
        marks: control -> tests, as `read_marks` gives them; without it no test is named.

    Raises:
        BadInput: an overlay or a profile is wrong.
    """
    holders = {name: read_profile(name).overlays for name in profile_names()}
    found = (
        Entry(
            control=control,
            overlay=overlay.name,
            profiles=tuple(name for name, overlays in holders.items() if overlay.name in overlays),
            where=places(overlay, control),
            tests=(marks or {}).get(control.id, ()),
        )
        for overlay in map(read_overlay, overlay_names())
        for control in overlay.controls
    )
    return tuple(sorted(found, key=_by_section))


def _by_section(entry: Entry) -> tuple[list[str], list[str]]:
    """Numbers by their size: 6.5.10 comes after 6.5.9, and the base system's 600 after the guide."""
    section, name = (
        [part.zfill(6) if part.isdigit() else part for part in re.findall(r"\d+|\D+", text)]
        for text in (entry.control.section, entry.control.id)
    )
    return section, name


def places(overlay: Overlay, control: Control) -> tuple[str, ...]:
    """Return what implements a control: the overlay's files that name it, and what it names itself."""
    named = [entry.path for entry in (*overlay.files, *overlay.dirs) if control.id in entry.controls]
    own = [
        f"overlays/{overlay.name}/{place}" if place in ("apply.sh", "overlay.toml") else place
        for place in control.where
    ]
    return tuple(dict.fromkeys((*named, *own)))


def of_profile(entries: Iterable[Entry], profile: str) -> tuple[Entry, ...]:
    """Return the entries that a profile has.

    Raises:
        BadInput: there is no such profile.
    """
    if profile not in profile_names():
        raise BadInput(
            f"there is no profile '{profile}'", hint=f"the profiles are: {', '.join(profile_names())}"
        )
    return tuple(entry for entry in entries if profile in entry.profiles)


def sums(entries: Iterable[Entry]) -> dict[str, Counter[str]]:
    """Return profile -> status -> number of controls."""
    found = {name: Counter[str]() for name in profile_names()}
    for entry in entries:
        for name in entry.profiles:
            found[name][entry.control.status] += 1
    return found
