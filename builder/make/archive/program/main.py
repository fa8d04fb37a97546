"""The words that the operator types, and how it ends (docs/how-to/running-server.md)."""

import argparse
import contextlib
import os
import signal
import sys
import syslog
from typing import Any, Dict, List

from . import changes
from .apply import Failed, apply, install_command, ready, refresh, undo
from .contents import Contents, Refused
from .journal import Journal
from .system import System
from .words import texts_in

OK, REFUSED, CHANGES, FAILED, INTERRUPTED = 0, 2, 3, 5, 130


class Teller:
    """Says texts in a language; what ends badly is said too when nobody listens any more."""

    def __init__(self, texts: Dict[str, str]) -> None:
        self.texts = texts

    def __call__(self, word: str, **values: Any) -> None:
        """Print a text."""
        self.print(self.texts[word].format(**values))

    def print(self, line: str) -> None:
        """Print a line."""
        try:
            print(line, flush=True)
        except OSError:  # the terminal is gone; what was begun is ended
            sys.stdout = open(os.devnull, "w")


def main(argv: List[str], archive: str) -> int:
    """Do what was typed, with the archive that this program lies in; return the exit code."""
    lang = "en" if "--lang=en" in argv or ("--lang", "en") in zip(argv, argv[1:]) else "es"
    texts = texts_in(lang)
    say = Teller(texts)
    os.umask(0o022)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, interrupt)
    try:
        return obey(argv, archive, lang, say)
    except Refused as error:
        return complain(texts[error.word].format(**error.values), REFUSED)
    except PermissionError:
        return complain(texts["not-root"], REFUSED)
    except Failed as error:
        record("failed")
        return complain(texts["failed"].format(reason=error), FAILED)
    except OSError as error:
        return complain(str(error), FAILED)
    except KeyboardInterrupt:
        return complain(texts["interrupted"], INTERRUPTED)


def obey(argv: List[str], archive: str, lang: str, say: Teller) -> int:
    """Do what was typed; return the exit code.

    Raises:
        Refused: it can't be done; nothing was changed.
        Failed: it began and failed; everything is as it was before.
    """
    contents = Contents(archive)
    arguments = parser_of(contents, say.texts).parse_args(argv)
    system = System(arguments.root)
    if not os.path.isdir(system.root):
        raise Refused("no-root", root=arguments.root)
    count = contents.verify()
    if contents.manifest["mark"]:
        say.print("*** {} ***".format(contents.manifest["mark"][lang]))
    if contents.manifest["key"] is None:
        say("unsigned")
    if arguments.verify:
        code = verify(contents, count, say)
    elif arguments.list or arguments.show:
        code = show(contents, arguments.show, say)
    elif arguments.check:
        code = check(contents, system, say)
    elif arguments.apply:
        code = do_apply(contents, system, arguments.restart, say)
    else:
        code = do_undo(system, arguments, say)
    return code


def interrupt(_number: int, _frame: Any) -> None:
    """Take a signal as Ctrl-C: a connection that breaks, a shutdown."""
    raise KeyboardInterrupt


def complain(line: str, code: int) -> int:
    """Say an error, and return the exit code."""
    with contextlib.suppress(OSError):
        sys.stderr.write("error: {}\n".format(line))
    return code


def parser_of(contents: Contents, texts: Dict[str, str]) -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    manifest = contents.manifest
    parser = argparse.ArgumentParser(
        prog="forja-overlay",
        description=texts["description"].format(profile=manifest["profile"], title=manifest["title"]),
    )
    verb = parser.add_mutually_exclusive_group(required=True)
    for name in ("check", "apply", "undo", "list", "verify"):
        verb.add_argument("--" + name, action="store_true", help=texts["help-" + name])
    verb.add_argument("--show", metavar="PATH", help=texts["help-show"])
    parser.add_argument("--root", default="/", metavar="DIR", help=texts["help-root"])
    parser.add_argument("--restart", action="store_true", help=texts["help-restart"])
    parser.add_argument("--keep", action="append", default=[], metavar="PATH", help=texts["help-keep"])
    parser.add_argument("--force", action="store_true", help=texts["help-force"])
    parser.add_argument("--lang", choices=["es", "en"], default="es", help=texts["help-lang"])
    return parser


def verify(contents: Contents, count: int, say: Teller) -> int:
    """`--verify`: the digests hold already."""
    say("verified", count=count, id=contents.id)
    if contents.manifest["key"]:
        say("signer", key=contents.manifest["key"])
    return OK


def show(contents: Contents, path: str, say: Teller) -> int:
    """`--list` and `--show`.

    Raises:
        Refused: there is no such file.
    """
    hooks = {hook["name"]: hook for hook in contents.manifest["hooks"]}
    if path in hooks:
        say.print(contents.hook(path).decode("utf-8"))
        return OK
    for entry in contents.entries:
        if not path:
            kind = "-" if entry.sha256 else "d"
            say.print("{} {:04o} {} {} {}".format(kind, entry.mode, entry.owner, entry.type, entry.path))
        elif entry.path == path and entry.sha256:
            say.print(
                say.texts["secret"] if entry.secret else contents.read(entry).decode("utf-8", "replace")
            )
            return OK
    if path:
        raise Refused("no-such-entry", path=path)
    for hook in contents.manifest["hooks"]:
        say("would-hook", name=hook["name"], title=hook["title"])
    return OK


def check(contents: Contents, system: System, say: Teller) -> int:
    """`--check`: what would change; nothing does.

    Raises:
        Refused: it is another system.
    """
    changes.check_identity(contents, system)
    todo = changes.find_changes(contents, system)
    for change in todo:
        for line in changes.describe(change, contents, system, say.texts):
            say.print(line)
    units = changes.disabled_units(contents, system)
    missing, unwanted = changes.missing_packages(contents, system)
    accounts = changes.missing_accounts(contents, system)
    if missing:
        say("to-do", text=install_command(contents, missing))
    for package in unwanted:
        say("unwanted", package=package)
    if accounts:
        say("to-do", text=say.texts["accounts"].format(accounts=", ".join(accounts)))
    applied = Journal(system).generations()[-1:]
    known = bool(applied) and applied[0].phase == "applied" and applied[0].state["archive"] == contents.id
    if known and not todo and not units and not missing and not accounts:
        say("no-change", what=contents.manifest["profile"])
        return OK
    if units:
        say("would-enable", units=" ".join(units))
    say("would-change", files=len(todo))
    for hook in contents.manifest["hooks"]:
        say("would-hook", name=hook["name"], title=hook["title"])
    say("would-save", saved=" ".join(contents.manifest["saved"]))
    return CHANGES


def do_apply(contents: Contents, system: System, restart: bool, say: Teller) -> int:
    """`--apply`."""
    ready(contents, system)
    with Journal(system) as journal:
        if not apply(contents, system, journal, say):
            say("no-change", what=contents.manifest["profile"])
            return OK
        record("applied {} {}".format(contents.manifest["profile"], contents.id))
        try:
            good = refresh(system, contents.manifest["services"], [], restart, say)
        except KeyboardInterrupt:
            good = False
        if not good:
            say("some-failed")
    return OK if good else FAILED


def do_undo(system: System, arguments: argparse.Namespace, say: Teller) -> int:
    """`--undo`: needs nothing of the archive; any archive's program takes the last one back.

    Raises:
        Refused: there is none, or files were changed since.
    """
    if os.geteuid() != 0:
        raise Refused("not-root")
    with Journal(system) as journal:
        try:
            keep = set(arguments.keep)
            last, stop = undo(system, journal, keep, arguments.force, arguments.restart, say)
        except KeyboardInterrupt:
            return complain(say.texts["undo-again"], INTERRUPTED)
        record("undone {} {}".format(last.state.get("profile"), last.state.get("archive")))
        units = last.state.get("units", [])
        return OK if refresh(system, units, stop, arguments.restart, say) else FAILED


def record(what: str) -> None:
    """Leave a line in the system's log."""
    syslog.openlog("forja-overlay", 0, syslog.LOG_AUTHPRIV)
    syslog.syslog(syslog.LOG_NOTICE, what)


def start() -> int:
    """Run the archive that this module was loaded from."""
    if sys.getfilesystemencoding() != "utf-8" and "FORJA_UTF8" not in os.environ:
        # Python 3.6 under LC_ALL=C can't write the names of all files.
        variables = dict(os.environ, LC_ALL="C.UTF-8", FORJA_UTF8="1")
        os.execve(sys.executable, [sys.executable] + sys.argv, variables)
    archive = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return main(sys.argv[1:], archive)
