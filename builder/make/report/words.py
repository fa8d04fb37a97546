"""The report's words and the way it writes numbers, sizes and dates in Spanish and English."""

from __future__ import annotations

import re
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from builder.ask.reading import Bilingual, Frozen, read_toml
from builder.make.findings import Outcome, Verdict
from builder.make.resolution import Advisory
from builder.tools.errors import BadInput

FILE = Path(__file__).with_name("words.toml")
LANGUAGES = ("es", "en")
HIDDEN = {"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"}
"""Unicode categories that a reader can't see: controls, bidi overrides, zero-width marks, no characters.

All that XML can't hold (XML 1.0, 2.2) is among them.
"""
MONTHS = {
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "en": "January February March April May June July August September October November December",
}


class VerdictWords(Frozen):
    """A verdict in singular and plural, and what it means."""

    one: Bilingual
    many: Bilingual
    meaning: Bilingual


class CountedWords(Frozen):
    """What follows a number, for one and for more."""

    one: Bilingual
    many: Bilingual


class WordsFile(Frozen):
    """The contents of `words.toml`."""

    text: dict[str, Bilingual]
    counted: dict[str, CountedWords]
    severity: dict[str, Bilingual]
    phrases: dict[str, str]
    verdict: dict[Verdict, VerdictWords]
    outcome: dict[Outcome, Bilingual]
    section: dict[str, Bilingual]


@cache
def _words() -> WordsFile:
    return read_toml(FILE, WordsFile, what="words")


@dataclass(frozen=True)
class Words:
    """Everything that the report says, in one language ("es" or "en")."""

    lang: str

    def __post_init__(self) -> None:
        if self.lang not in LANGUAGES:
            raise BadInput(f"the report can't be written in '{self.lang}'", hint="choose es or en")

    def text(self, key: str) -> str:
        """Return a text of `words.toml`."""
        return _words().text[key].in_language(self.lang)

    def verdict(self, verdict: Verdict, count: int = 1) -> str:
        """Return the word for a verdict, in the plural unless `count` is 1."""
        words = _words().verdict[verdict]
        return (words.one if count == 1 else words.many).in_language(self.lang)

    def meaning(self, verdict: Verdict) -> str:
        """Return what a verdict means."""
        return _words().verdict[verdict].meaning.in_language(self.lang)

    def outcome(self, outcome: Outcome) -> str:
        """Return the word for how a test ended."""
        return _words().outcome[outcome].in_language(self.lang)

    def section(self, number: str) -> str:
        """Return the title of a section or of the nearest one above it ("5 a)" -> "5"); "" for none."""
        while number:
            if number in _words().section:
                return _words().section[number].in_language(self.lang)
            number = re.sub(r"(^|[ .-])[^ .-]*$", "", number)
        return ""

    def counted(self, count: int, key: str) -> str:
        """Return a number with the words that follow it."""
        words = _words().counted[key]
        return f"{self.number(count)} {(words.one if count == 1 else words.many).in_language(self.lang)}"

    def severity(self, advisory: Advisory) -> str:
        """Return the severity of an advisory; a word that we don't know, as the publisher writes it."""
        words = _words().severity
        known = words.get(advisory.severity or "None")
        return known.in_language(self.lang) if known else advisory.severity

    def phrase(self, text: str) -> str:
        """Return in this language what `packages.json` says ("needed by bash"; several with `;` between)."""
        if self.lang == "en":
            return text
        return "; ".join(self._phrase(part) for part in text.split("; "))

    def _phrase(self, text: str) -> str:
        for pattern, spanish in _words().phrases.items():
            if match := re.fullmatch(pattern, text):
                return spanish.format(*match.groups())
        return text

    def said(self, text: Bilingual | None, otherwise: str) -> str:
        """Return a bilingual text in this language, or the text of `words.toml` when there is none."""
        return text.in_language(self.lang) if text else self.text(otherwise)

    def number(self, value: float, digits: int = 0) -> str:
        """Write a number: 1 234,5 in Spanish (no-break space, by the RAE), 1,234.5 in English."""
        written = f"{value:,.{digits}f}"
        return written.translate(str.maketrans(",.", "\u00a0,")) if self.lang == "es" else written

    def size(self, count: int) -> str:
        """Write bytes as GiB, with the exact number after it."""
        return f"{self.number(count / 2**30, 2)} GiB ({self.number(count)} {self.text('bytes')})"

    def duration(self, seconds: float) -> str:
        """Write a duration: 0,41 s; 3 min 12 s."""
        if seconds < 60:
            return f"{self.number(seconds, 2 if seconds < 10 else 1)}\u00a0s"
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}\u00a0min {rest}\u00a0s"

    def time(self, moment: datetime) -> str:
        """Write a moment in short: 2026-11-24 17:58:18 UTC."""
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC"

    def date(self, moment: datetime) -> str:
        """Write a moment in full: 24 de noviembre de 2026, 17:58:18 UTC."""
        month = MONTHS[self.lang].split()[moment.month - 1]
        day = f"{moment.day} de {month} de" if self.lang == "es" else f"{moment.day} {month}"
        return f"{day} {moment:%Y, %H:%M:%S} UTC"


def read_moment(text: str) -> datetime:
    """Read an ISO 8601 moment, UTC when it names no zone.

    Raises:
        ValueError: it is no such moment.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def visible(value: Any) -> Any:
    r"""Show what a reader could not see: an escape character as \x1b, a bidi override as \u202e.

    Evidence comes from the machine that is judged: it must not be able to reverse, hide or recolour
    what the accreditor reads. Line breaks and tabs stay; what the template itself made stays.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in HIDDEN and character not in "\n\t"
        else character
        for character in value
    )


def xml_document(root: ET.Element) -> str:
    """Return a document as indented text with its declaration; what is in it went through `visible`."""
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def css_string(value: str) -> str:
    """Return text as a CSS string (CSS Syntax 4.3.7) with all but letters and digits escaped."""
    inner = "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):x} " for c in visible(value))
    return f'"{inner}"'
