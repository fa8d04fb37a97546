"""RHEL 8's kickstart grammar, as pykickstart knows it: what it has against a text.

Making pykickstart's objects takes three times as long as reading a kickstart with them: nearly all of it
goes into the option parsers of 70 commands, which are the same each time and remember nothing. They are made
once and kept; commands, sections and all that a kickstart fills are new for every text. What is found wrong
is read once more with nothing kept, so that the words of an error are pykickstart's own.
"""

from __future__ import annotations

import re
import warnings
from functools import cache
from typing import Any

from pykickstart.errors import KickstartDeprecationWarning, KickstartError, KickstartParseWarning
from pykickstart.handlers.control import commandMap
from pykickstart.parser import KickstartParser, Script
from pykickstart.sections import (
    OnErrorScriptSection,
    PackageSection,
    PostScriptSection,
    PreInstallScriptSection,
    PreScriptSection,
    TracebackScriptSection,
)
from pykickstart.version import RHEL8, makeVersion, returnClassForVersion

SCRIPTS = (
    *(PreScriptSection, PreInstallScriptSection, PostScriptSection),
    *(OnErrorScriptSection, TracebackScriptSection),
)


def check_grammar(text: str) -> list[str]:
    """Return what RHEL 8's grammar has against a whole kickstart; warnings and deprecations count."""
    return _read(new_parser(), text) and _read(plain_parser(), text)


def plain_parser() -> Any:
    """Return pykickstart's parser for RHEL 8 as it comes."""
    return KickstartParser(makeVersion(RHEL8), errorsAreFatal=True)


def new_parser() -> Any:
    """Return a parser for RHEL 8 whose commands and sections share their option parsers with all others'."""
    commands = {name: _keeping(command) for name, command in commandMap[RHEL8].items()}
    handler = returnClassForVersion(RHEL8)(mapping=commands)
    parser = KickstartParser(handler, errorsAreFatal=True)
    for section in SCRIPTS:
        parser.registerSection(_keeping(section)(handler, dataObj=Script))
    parser.registerSection(_keeping(PackageSection)(handler))
    return parser


@cache
def _keeping(kind: Any) -> Any:
    """Return a class of commands or sections that makes its option parser once."""

    kept: list[Any] = []

    def get_parser(self: Any) -> Any:
        if not kept:
            kept.append(kind._getParser(self))
        return kept[0]

    return type(kind.__name__, (kind,), {"_getParser": get_parser})


def _read(parser: Any, text: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", KickstartParseWarning)
        warnings.simplefilter("error", KickstartDeprecationWarning)
        try:
            parser.readKickstartFromString(text)
        except (KickstartError, KickstartParseWarning) as error:
            return [re.sub(r"\s+", " ", str(error)).strip()]
    return []
