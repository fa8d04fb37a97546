"""Two listings compared: what became of each control, of its evidence, and of the image itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from builder.ask.reading import Bilingual, Frozen
from builder.make.findings import SPARED, Verdict
from builder.make.report.listing import Identity, Line, Listing
from builder.make.report.words import Words, visible


class Difference(Frozen):
    """A control in two images: its verdicts (None: not asked) and the values read."""

    id: str
    title: Bilingual
    old: Verdict | None
    new: Verdict | None
    no_longer_read: tuple[str, ...]
    """Lines of evidence that are only in the old image."""
    newly_read: tuple[str, ...]


class Comparison(Frozen):
    """What changed from one image to another; each control is in one group, or counted as unchanged."""

    old: Identity
    new: Identity
    identity: dict[str, tuple[str, str]]
    """What tells the images apart: name -> what it was, what it is."""
    worse: tuple[Difference, ...]
    """Holds no longer (or is no longer asked though it held), or fails and did not."""
    better: tuple[Difference, ...]
    """Holds now."""
    changed: tuple[Difference, ...]
    """Another verdict, neither better nor worse; or not looked at, for it acts on a server in use."""
    appeared: tuple[Difference, ...]
    gone: tuple[Difference, ...]
    evidence: tuple[Difference, ...]
    """The same verdict by other values."""
    unchanged: int


GROUPS = ("worse", "better", "changed", "appeared", "gone", "evidence")


def compare(old: Listing, new: Listing) -> Comparison:
    """Return what changed from one image to another."""
    before = {line.id: line for line in old.controls}
    after = {line.id: line for line in new.controls}
    groups: dict[str, list[Difference]] = {group: [] for group in GROUPS}
    unchanged = 0
    for id, line in (before | after).items():
        difference = _difference(line, before.get(id), after.get(id))
        group = _judge(difference, after.get(id))
        if group:
            groups[group].append(difference)
        else:
            unchanged += 1
    return Comparison(
        old=old.identity,
        new=new.identity,
        identity=_identity(old.identity, new.identity),
        unchanged=unchanged,
        **{group: tuple(differences) for group, differences in groups.items()},
    )


def to_lines(comparison: Comparison, words: Words) -> list[str]:
    """Return a comparison as lines for people, with nothing in them that a terminal would obey."""
    return [str(visible(line)) for line in _lines(comparison, words)]


def _lines(comparison: Comparison, words: Words) -> Iterator[str]:
    yield f"{words.text('compare_old')}: {_named(comparison.old)}"
    yield f"{words.text('compare_new')}: {_named(comparison.new)}"
    if comparison.identity:
        yield from ("", words.text("identity"))
        names = {key: words.text(key) for key in comparison.identity}
        wide = max(map(len, names.values()))
        for key, (old, new) in comparison.identity.items():
            yield f"  {names[key]:{wide}}  {old or '-'} -> {new or '-'}"
    for group in GROUPS:
        differences = getattr(comparison, group)
        if differences:
            yield from ("", f"{words.text(f'compare_{group}')} ({len(differences)})")
            yield from _table(differences, words)
    counts = [
        f"{len(getattr(comparison, group))} {words.text(f'compare_{group}').lower()}" for group in GROUPS
    ]
    yield from ("", f"{', '.join(counts)}, {comparison.unchanged} {words.text('compare_unchanged')}")


def _table(differences: Sequence[Difference], words: Words) -> Iterator[str]:
    became = [_became(item, words) for item in differences]
    wide = max(len(item.id) for item in differences), max(map(len, became))
    for item, verdicts in zip(differences, became, strict=True):
        yield f"  {item.id:{wide[0]}}  {verdicts:{wide[1]}}  {item.title.in_language(words.lang)}"
        for sign, lines in (("-", item.no_longer_read), ("+", item.newly_read)):
            yield from (f"      {sign} {line}" for line in lines)


def _became(item: Difference, words: Words) -> str:
    told = [
        words.verdict(verdict) if verdict else words.text("compare_none") for verdict in (item.old, item.new)
    ]
    return told[0] if item.old is item.new else " -> ".join(told)


def _named(identity: Identity) -> str:
    what = identity.host_key if identity.server else f"SHA-256 {identity.sha256[:16]}…"
    return f"{identity.title}, {what}, {identity.began}"


def _identity(old: Identity, new: Identity) -> dict[str, tuple[str, str]]:
    """Return what differs, the time of the verification apart, which always does."""
    names = (
        "image",
        "sha256",
        "size",
        "profile",
        "platform",
        "system",
        "postfix",
        "host",
        "firmware",
        "builder",
        "server",
        "machine",
        "host_key",
    )
    pairs = {name: (str(getattr(old, name)), str(getattr(new, name))) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _difference(line: Line, old: Line | None, new: Line | None) -> Difference:
    read = [Counter(_evidence(item)) for item in (old, new)]
    return Difference(
        id=line.id,
        title=line.title,
        old=old.verdict if old else None,
        new=new.verdict if new else None,
        no_longer_read=tuple((read[0] - read[1]).elements()),
        newly_read=tuple((read[1] - read[0]).elements()),
    )


def _evidence(line: Line | None) -> Iterator[str]:
    """Give the lines of evidence; their order says nothing."""
    return (text for value in (line.evidence if line else ()) for text in value.splitlines())


def _judge(item: Difference, new: Line | None) -> str:
    """Return the group of a difference; "" for none."""
    if item.old is item.new:
        return "evidence" if item.no_longer_read or item.newly_read else ""
    if item.new is Verdict.NOT_VERIFIED and new and new.whys and all(why in SPARED for why in new.whys):
        return "changed"  # a server in use is spared that
    if item.old is Verdict.HOLDS or item.new is Verdict.FAILS:
        return "worse"
    if item.old is None:
        return "appeared"
    if item.new is None:
        return "gone"
    return "better" if item.new is Verdict.HOLDS else "changed"
