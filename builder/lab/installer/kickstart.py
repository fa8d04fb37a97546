"""Reading the kickstart as Anaconda does: first only its %pre scripts, then, with what they wrote, all.

pykickstart's RHEL 8 handler judges the syntax; what it merely warns of (deprecated or removed words) is
an error here. Every command and section header is kept with its place, for `check`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pykickstart.errors import KickstartError, KickstartWarning
from pykickstart.handlers.rhel8 import RHEL8Handler
from pykickstart.parser import KickstartParser, Script
from pykickstart.sections import (
    NullSection,
    OnErrorScriptSection,
    PackageSection,
    PostScriptSection,
    PreInstallScriptSection,
    PreScriptSection,
    TracebackScriptSection,
)

from .program import InstallError

SCRIPT_SECTIONS = (
    PreScriptSection,
    PreInstallScriptSection,
    PostScriptSection,
    OnErrorScriptSection,
    TracebackScriptSection,
)


@dataclass(frozen=True)
class Line:
    """A command or a section header, where it stands in the kickstart."""

    words: tuple[str, ...]
    file: str
    number: int

    @property
    def where(self) -> str:
        """Return its place, for messages."""
        return f"{self.file} line {self.number}"


class _Parser(KickstartParser):  # type: ignore[misc]
    """A parser that remembers lines, and in which file it is."""

    def __init__(self, handler: Any, **options: Any) -> None:
        self.lines: list[Line] = []
        self.files: list[str] = []
        self.failed = ""
        super().__init__(handler, **options)

    def readKickstart(self, f: str, reset: bool = True) -> None:
        self.files.append(f)
        try:
            super().readKickstart(f, reset)
        except (KickstartError, KickstartWarning, ValueError):
            # Where it happened: the innermost file, as this unwinds.
            self.failed = self.failed or f
            raise
        finally:
            self.files.pop()

    def handleCommand(self, lineno: int, args: list[str]) -> Any:
        self.note(lineno, args)
        return super().handleCommand(lineno, args)

    def note(self, lineno: int, args: list[str]) -> None:
        self.lines.append(Line(tuple(args), self.files[-1], lineno))

    def registerSection(self, obj: Any) -> None:
        plain = obj.handleHeader

        def handle_header(lineno: int, args: list[str]) -> None:
            self.note(lineno, args)
            plain(lineno, args)

        obj.handleHeader = handle_header
        super().registerSection(obj)

    def make_script(self, body: list[str], **options: Any) -> Any:
        script = Script(body, **options)
        script.file = self.files[-1]
        return script

    def setupSections(self) -> None:
        self._sections: dict[str, Any] = {}
        for section in SCRIPT_SECTIONS:
            self.registerSection(section(self.handler, dataObj=self.make_script))
        self.registerSection(PackageSection(self.handler))
        for name in ("%addon", "%anaconda", "%certificate"):
            self.registerSection(NullSection(self.handler, sectionOpen=name))


class _PreParser(_Parser):
    """A parser for the first pass: %pre scripts only; files to include may not exist yet."""

    def handleCommand(self, lineno: int, args: list[str]) -> None:
        return None

    def setupSections(self) -> None:
        self._sections = {}
        self.registerSection(PreScriptSection(self.handler, dataObj=self.make_script))
        ignored = [section.sectionOpen for section in SCRIPT_SECTIONS if section is not PreScriptSection]
        for name in (*ignored, "%packages", "%addon", "%anaconda", "%certificate"):
            self.registerSection(NullSection(self.handler, sectionOpen=name))


@dataclass(frozen=True)
class Kickstart:
    """A kickstart that was read: pykickstart's handler with all its data, and the lines it came from."""

    data: Any
    lines: tuple[Line, ...]

    def scripts(self, kind: int) -> list[Any]:
        """Return the scripts of a kind (pykickstart's KS_SCRIPT_*) in their order."""
        return [script for script in self.data.scripts if script.type == kind]

    def seen(self, command: str) -> bool:
        """Say whether a command is in the kickstart."""
        return any(line.words[0] == command for line in self.lines)

    def line(self, command: str, data: Any) -> Line:
        """Return the line that a command's data object came from."""
        for line in self.lines:
            if line.words[0] == command and line.number == data.lineno:
                return line
        return Line((command,), "ks.cfg", data.lineno)


def read_pre_scripts(path: Path) -> list[Any]:
    """Return the %pre scripts of a kickstart, in order; the rest is not looked at."""
    parser = _PreParser(RHEL8Handler(), missingIncludeIsFatal=False)
    with _errors_for_people(parser):
        parser.readKickstart(str(path))
    return list(parser.handler.scripts)


def read_kickstart(path: Path) -> Kickstart:
    """Read a whole kickstart, with the files that it includes.

    Raises:
        InstallError: a syntax error, a deprecated word or a missing file, with its line.
    """
    parser = _Parser(RHEL8Handler())
    with _errors_for_people(parser):
        parser.readKickstart(str(path))
    return Kickstart(parser.handler, tuple(parser.lines))


@contextmanager
def _errors_for_people(parser: _Parser) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", category=KickstartWarning)
            yield
    except (KickstartError, KickstartWarning, ValueError) as error:
        number = getattr(error, "lineno", None)
        if number is None and parser.lines:
            number = parser.lines[-1].number
        text = " ".join(str(getattr(error, "message", "") or error).split())
        raise InstallError(f"kickstart {parser.failed} line {number or '?'}: {text}") from error
