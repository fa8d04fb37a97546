"""Which tests run side by side: half of verification is waiting, and that can be done at once.

pytest-xdist runs some workers, each with a root shell of its own over the one connection, and gives them
lanes: the tests of a lane follow one another. What only looks goes first, each file a lane of its own; what
acts on the machine begins once all of that has ended, so that nobody looks at what another test has just
made. Two lanes speak to the mail service; a test marked `alone`, which would fail the other one's sessions,
has it to itself.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

LETTERS, SESSIONS, OTHERS = "letters", "sessions", "others"
ACTING = {
    "mail/test_mail_abuse": LETTERS,
    "mail/test_mail_delivery": LETTERS,
    "mail/test_mail_filter": LETTERS,
    "mail/test_mail_lines": LETTERS,
    "mail/test_mail_long": LETTERS,
    "mail/test_mail_origin": LETTERS,
    "mail/test_mail_spf": LETTERS,
    "test_amavis": LETTERS,
    "test_clamav": LETTERS,
    "test_quarantine": LETTERS,
    "test_dkim": SESSIONS,
    "test_postfix": SESSIONS,
    "test_postfix_own": SESSIONS,
    "test_postfix_sessions": SESSIONS,
    "test_postfix_smtp": SESSIONS,
    "test_postfix_tls": SESSIONS,
    "test_spf": SESSIONS,
    "test_gnupg": OTHERS,
    "test_logs": OTHERS,
    "test_postfix_expiry": OTHERS,
    "test_roles": OTHERS,
}
"""Files of tests that act -> their lane."""
TOGETHER = dict.fromkeys(("test_accounts", "test_base", "test_firewall", "test_seal"), "together")
"""Files of tests that look, but not at once: one makes an account for a while and one opens a port, and the
others look at the accounts and ports that there are."""
ORDER = ("together", "test_spamassassin", "test_aide", LETTERS, SESSIONS, OTHERS)
"""Lanes that take long: each begins as soon as it may."""
LOOKED_SECONDS = 1800.0
"""Within which everything that only looks has ended."""
FOLDER = pytest.StashKey[Path]()
"""Where the workers find each other's marks."""
LOOKING = pytest.StashKey[int]()
"""How many tests only look."""


def lane_of(nodeid: str) -> str:
    file = _file(nodeid)
    return ACTING.get(file) or TOGETHER.get(file) or file


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0].removeprefix("tests/image/").removesuffix(".py")


def acts(nodeid: str) -> bool:
    return _file(nodeid) in ACTING


def put_in_order(config: pytest.Config, items: list[pytest.Item], folder: Path) -> None:
    """Put what looks before what acts, and in both the long lanes first."""

    def place(item: pytest.Item) -> tuple[bool, int]:
        lane = lane_of(item.nodeid)
        return acts(item.nodeid), ORDER.index(lane) if lane in ORDER else len(ORDER)

    items.sort(key=place)
    config.stash[FOLDER] = folder
    config.stash[LOOKING] = sum(not acts(item.nodeid) for item in items)


class Lanes(LoadScopeScheduling):
    """Hands out whole lanes, in the order of their first tests."""

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    config.option.loadscopereorder = False
    return Lanes(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test wait until it may run; its fixtures are set up after that."""
    folder = item.config.stash[FOLDER]
    if not acts(item.nodeid):
        result = yield
        with (folder / "looked").open("a") as file:
            file.write(".")
        return result
    _await_looked(folder / "looked", item.config.stash[LOOKING])
    alone = item.get_closest_marker("alone") is not None
    if not alone and lane_of(item.nodeid) == OTHERS:
        return (yield)
    with _turn(folder, alone=alone):
        return (yield)


def _await_looked(mark: Path, number: int) -> None:
    end = time.monotonic() + LOOKED_SECONDS
    while number and (not mark.exists() or mark.stat().st_size < number):
        assert time.monotonic() < end, "the tests that only look do not end"
        time.sleep(0.1)


@contextmanager
def _turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Have the mail service together with others, or alone; who waits for it alone comes before new ones."""
    with (folder / "queue").open("a") as queue, (folder / "service").open("a") as service:
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(service, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        yield
