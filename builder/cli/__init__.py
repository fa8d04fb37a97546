"""The words that a person types: `forja VERB`. No logic: it parses, calls, and shows errors as one line."""

from __future__ import annotations

import argparse
import signal
import types
from collections.abc import Callable, Sequence

from builder import __version__
from builder.cli.looking import add_verbs_that_look
from builder.cli.making import add_verbs_that_make
from builder.tools.console import say
from builder.tools.errors import ExitCode, ForjaError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code (docs/reference/exit-codes.md)."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        arguments = make_parser().parse_args(argv)
        verb: Callable[[argparse.Namespace], int] = arguments.verb
        return verb(arguments)
    except ForjaError as error:
        say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted: what was running is ended; nothing half-made is left under a final name")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return ExitCode.OK


def _interrupt(_number: int, _frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs; the reference of the command line is held against it."""
    parser = argparse.ArgumentParser(
        prog="forja", description="Hardened, verified golden images of a Postfix relay (CCN-STIC-681)."
    )
    parser.add_argument("--version", action="version", version=f"forja {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    add_verbs_that_make(verbs)
    add_verbs_that_look(verbs)
    return parser
