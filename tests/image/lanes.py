"""Which tests run side by side: much of verification is waiting, and that can be done at once.

pytest-xdist runs some workers, each with a root shell of its own over the one connection, and gives them
lanes: the tests of a lane follow one another. What only looks goes first, each file a lane of its own. What
acts on the machine is one lane, which begins once all of that has ended, so that nobody looks at what another
test has just made, or speaks to a service that another test has stopped.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ACTING = {
    *(f"mail/test_mail_{name}" for name in ("abuse", "delivery", "filter", "lines", "long", "origin", "spf")),
    *(f"test_postfix{name}" for name in ("", "_expiry", "_own", "_sessions", "_smtp", "_tls")),
    *("test_amavis", "test_clamav", "test_dkim", "test_logs", "test_quarantine", "test_roles", "test_spf"),
}
"""Files of tests that act on the machine."""
TOGETHER = {"test_accounts", "test_base", "test_firewall", "test_seal"}
"""Files of tests that look, but not at once: one makes an account for a while and one opens a port, and the
others look at the accounts and ports that there are."""
ORDER = ("together", "test_gnupg", "test_spamassassin", "test_aide")
"""Lanes that take long begin first."""
LOOKED_SECONDS = 1800.0
"""Within which everything that only looks has ended."""
LOOKED = pytest.StashKey[Path]()
"""A file that grows by a byte with each test that only looks and has ended."""
LOOKING = pytest.StashKey[int]()
"""How many tests only look."""


def acts(nodeid: str) -> bool:
    return _file(nodeid) in ACTING


def lane_of(nodeid: str) -> str:
    file = _file(nodeid)
    return "acting" if file in ACTING else "together" if file in TOGETHER else file


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0].removeprefix("tests/image/").removesuffix(".py")


def put_in_order(config: pytest.Config, items: list[pytest.Item], looked: Path) -> None:
    """Put what looks before what acts, and of what looks the long lanes first."""

    def place(item: pytest.Item) -> tuple[bool, int]:
        lane = lane_of(item.nodeid)
        return acts(item.nodeid), ORDER.index(lane) if lane in ORDER else len(ORDER)

    items.sort(key=place)
    config.stash[LOOKED] = looked
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
    """Let what acts wait until all that looks has ended; fixtures are set up after that."""
    looked = item.config.stash[LOOKED]
    if acts(item.nodeid):
        _await_looked(looked, item.config.stash[LOOKING])
        return (yield)
    result = yield
    with looked.open("a") as file:
        file.write(".")
    return result


def _await_looked(looked: Path, number: int) -> None:
    end = time.monotonic() + LOOKED_SECONDS
    while number and (not looked.exists() or looked.stat().st_size < number):
        assert time.monotonic() < end, "the tests that only look do not end"
        time.sleep(0.1)
