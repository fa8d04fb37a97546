"""The profiles side by side on one screen, and what differs between two of them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence

from builder.ask.difference import Difference, has, show
from builder.ask.profile import Profile
from builder.ask.reading import Bilingual
from builder.make.listing.text import columns, word

WIDTH = 100
Sums = Mapping[str, Mapping[str, int]]


def list_profiles(profiles: Sequence[Profile], sums: Sums, *, lang: str) -> str:
    """Return all profiles as text: a column each, what they have in common once, then the reasons."""
    rows = [
        ["", *(profile.name for profile in profiles)],
        [word("annex", lang), *(profile.annex for profile in profiles)],
        *_overlays(profiles, lang),
        *([name, *(show(getattr(each.values, name)) for each in profiles)] for name, _ in profiles[0].values),
        [word("controls", lang), *(str(sum(sums[profile.name].values())) for profile in profiles)],
    ]
    titles = [f"{profile.name}: {profile.title.in_language(lang)}" for profile in profiles]
    parts = (titles, columns(rows), _common(profiles, lang), _reasons(profiles, lang))
    return "\n\n".join("\n".join(lines) for lines in parts)


def list_differences(found: Sequence[Difference], first: str, second: str, *, form: str, lang: str) -> str:
    """Return what differs between two profiles as text: `table` or `json` (both languages)."""
    if form == "json":
        rows = [item.model_dump(mode="json") for item in found]
        return json.dumps({"profiles": [first, second], "differences": rows}, ensure_ascii=False, indent=2)
    head = ("", "", first, second)
    lines = columns([head, *(_cells(item, lang) for item in found)])
    shown = [lines[0]]
    said: Bilingual | None = None
    for item, line in zip(found, lines[1:], strict=True):
        shown.append(line)
        if item.title:
            shown.append(f"    {item.title.in_language(lang)}")
        if item.reason and (item.reason != said or item.kind != "control"):
            shown += _wrapped(item.reason.in_language(lang), "    ", "    ")
        said = item.reason
    return "\n".join(shown)


def _cells(item: Difference, lang: str) -> list[str]:
    sides = (word(side or "none", lang) for side in (item.first, item.second))
    return [word(item.kind, lang), item.name, *sides]


def _overlays(profiles: Sequence[Profile], lang: str) -> list[list[str]]:
    """Return a row for each overlay that not every profile has, or has only if the site wants it."""
    names = dict.fromkeys(name for each in profiles for name in each.overlays)
    rows = [[name, *(word(has(each, name), lang) for each in profiles)] for name in names]
    return [row for row in rows if set(row[1:]) != {word("always", lang)}]


def _common(profiles: Sequence[Profile], lang: str) -> list[str]:
    names = [name for name in profiles[0].overlays if all(has(each, name) == "always" for each in profiles)]
    lines = [f"{word('overlays', lang)}, {word('in-all', lang)}: {' '.join(names)}"]
    if all(each.mounts == profiles[0].mounts for each in profiles):
        lines.append(f"{word('mounts', lang)}, {word('same', lang)}: {_mounts(profiles[0])}")
    else:
        lines += [f"{word('mounts', lang)}, {each.name}: {_mounts(each)}" for each in profiles]
    return [line for text in lines for line in _wrapped(text, "", "    ")]


def _mounts(profile: Profile) -> str:
    return f"{' '.join(mount.path for mount in profile.mounts)} ({profile.disk_gib} GiB)"


def _reasons(profiles: Sequence[Profile], lang: str) -> list[str]:
    lines = [word("reasons", lang)]
    for profile in profiles:
        for key, reason in profile.reasons.items():
            text = f"{profile.name} {key}: {reason.in_language(lang)}"
            lines += _wrapped(text, "  ", "      ")
    return lines


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    wrapper = textwrap.TextWrapper(WIDTH, first, rest, break_on_hyphens=False, break_long_words=False)
    return wrapper.wrap(text)
