"""What every test of an image stands on: plan, packages, the one connection, the clients, and the evidence.

Run by `forja verify`, never by hand: `--guest` names the guest that it booted.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import testinfra
from lanes import put_in_order, pytest_runtest_protocol, pytest_xdist_make_scheduler  # noqa: F401
from looking import LookingShell
from shell import RootShell
from testinfra.host import Host

from builder.ask.plan import Plan
from builder.ask.reading import Bilingual
from builder.make.findings import ACTS, FIRST_BOOT
from builder.make.resolution import Resolution

CONNECT_SECONDS = 20.0
NO_CLIENT = Bilingual(
    es="La red del sitio no deja ninguna dirección desde la que hacer esta prueba.",
    en="The site's networks leave no address from which to make this test.",
)
NO_PACKAGES = Bilingual(
    es="No consta con qué paquetes se instaló: falta el packages.json de su imagen.",
    en="Which packages it was installed with is not known: its image's packages.json is missing.",
)
REASONS = {reason.es: reason.model_dump() for reason in (NO_CLIENT, NO_PACKAGES, ACTS, FIRST_BOOT)}


@dataclass(frozen=True)
class Guest:
    """The guest as its clients see it."""

    address: str
    clients: dict[str, str | None]
    no_client: str
    """Why there is none."""

    def client_address(self, client: str) -> str:
        """Return the address that clients of a class speak from; the test is not shown if there is none."""
        address = self.clients.get(client)
        if address is None:
            pytest.skip(self.no_client)
        return address

    def connect(self, port: int, client: str, timeout: float = CONNECT_SECONDS) -> socket.socket:
        """Return a TCP connection to a port of the guest from a client of a class.

        Raises:
            OSError: it is refused, or not answered within `timeout` seconds.
        """
        return socket.create_connection(
            (self.address, port), timeout=timeout, source_address=(self.client_address(client), 0)
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--guest", help="context file of the guest, as `forja verify` writes it")
    parser.addoption("--marks", help="file to write the controls of every test to; nothing is run")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--marks"):
        return
    path = config.getoption("--guest")
    if path is None:
        raise pytest.UsageError("tests/image needs a booted image: run 'forja verify IMAGE'")
    context = json.loads(Path(path).read_text())
    config.stash[CONTEXT] = context
    config.stash[PLAN] = Plan.model_validate_json(Path(context["plan"]).read_text())
    config.stash[FOUND] = {}


CONTEXT = pytest.StashKey[dict[str, Any]]()
PLAN = pytest.StashKey[Plan]()
FOUND = pytest.StashKey[dict[str, dict[str, Any]]]()
BROKEN = pytest.StashKey[bool]()
SEEN = pytest.StashKey[list[str]]()


def implemented(plan: Plan) -> set[str]:
    return {control.id for control in plan.controls if control.status == "implemented"}


def controls_of(item: pytest.Item) -> list[str]:
    return [name for mark in item.iter_markers("control") for name in mark.args]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests whose controls the plan has (and was asked for); every test must name one.

    Those marked `long` are kept only where they were asked for.
    """
    for item in items:
        if not controls_of(item):
            raise pytest.UsageError(f"{item.nodeid} names no control")
    if marks := config.getoption("--marks"):
        Path(marks).write_text(json.dumps([[item.nodeid, controls_of(item)] for item in items]))
        return
    known = implemented(config.stash[PLAN])
    wanted = set(config.stash[CONTEXT]["controls"]) or known
    long = config.stash[CONTEXT].get("long", False)
    kept = [
        item
        for item in items
        if known & wanted & set(controls_of(item)) and (long or item.get_closest_marker("long") is None)
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    put_in_order(config, items, Path(config.stash[CONTEXT]["found"]).with_name("looked"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave a test out, as not verified, when the platform can't show what it looks at."""
    item.stash[SEEN] = []
    not_shown = item.config.stash[PLAN].platform.not_shown
    for mark in item.iter_markers("needs"):
        for need in mark.args:
            if need in not_shown:
                pytest.skip(f"needs:{need}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[pytest.TestReport]:
    report: pytest.TestReport = yield
    plan = item.config.stash[PLAN]
    known = implemented(plan)
    finding = item.config.stash[FOUND].setdefault(
        item.nodeid,
        {
            "test": item.nodeid.removeprefix("tests/image/"),
            "controls": [name for name in controls_of(item) if name in known],
            "when": datetime.fromtimestamp(call.start, UTC).isoformat(timespec="seconds"),
            "outcome": "passed",
            "seconds": 0.0,
        },
    )
    finding["seconds"] = round(finding["seconds"] + report.duration, 2)
    if report.failed:
        finding["outcome"] = "failed"
        text = _why(report)
        finding["reason"] = {"es": text, "en": text}
    elif report.skipped and finding["outcome"] == "passed":
        finding["outcome"] = "not-shown"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        need = plan.platform.not_shown.get(reason.removeprefix("needs:"))
        finding["reason"] = need.model_dump() if need else _both(reason)
    if report.when == "call":
        finding["seen"] = item.stash[SEEN]
        # Of the item, not of this report: JUnit's writer takes them from the report of the tear-down.
        item.user_properties += [("control", name) for name in finding["controls"]]
        item.user_properties += [("seen", text) for text in item.stash[SEEN]]
    return report


def _both(reason: str) -> dict[str, str]:
    return REASONS.get(reason, {"es": reason, "en": reason})


def _why(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr)[:2000]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take over what a worker has found. If one broke down, nothing is told: that would not be all."""
    if error:
        node.config.stash[BROKEN] = True
    else:
        node.config.stash[FOUND] |= node.workeroutput["found"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    found = session.config.stash.get(FOUND, None)
    if found is None:
        return
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["found"] = found
        return
    if BROKEN in session.config.stash:
        return
    in_order = sorted(found.values(), key=lambda finding: str(finding["test"]))
    Path(session.config.stash[CONTEXT]["found"]).write_text(json.dumps(in_order))


@pytest.fixture(scope="session")
def plan(pytestconfig: pytest.Config) -> Plan:
    """The plan that the image was built from."""
    return pytestconfig.stash[PLAN]


@pytest.fixture(scope="session")
def resolution(pytestconfig: pytest.Config) -> Resolution:
    """The packages that the image was installed with."""
    packages = pytestconfig.stash[CONTEXT]["packages"]
    if packages is None:
        pytest.skip(NO_PACKAGES.es)
    return Resolution.model_validate_json(Path(packages).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def host(pytestconfig: pytest.Config) -> Any:
    """The guest as testinfra sees it, as root."""
    connection = pytestconfig.stash[CONTEXT]["connection"]
    if "streams" in connection:
        return Host(LookingShell(**connection))
    return Host(RootShell(**connection)) if "argv" in connection else testinfra.get_host(**connection)


@pytest.fixture(scope="session")
def guest(pytestconfig: pytest.Config) -> Guest:
    """The guest as its clients see it."""
    context = pytestconfig.stash[CONTEXT]
    why = ACTS if "streams" in context["connection"] else NO_CLIENT
    return Guest(context["address"], context["clients"], why.es)


@pytest.fixture(scope="session")
def acting(pytestconfig: pytest.Config) -> None:
    """What changes something on the server needs this: on a server in use it is not done, nor shown."""
    if "streams" in pytestconfig.stash[CONTEXT]["connection"]:
        pytest.skip(ACTS.es)


@pytest.fixture(scope="session")
def fresh(pytestconfig: pytest.Config) -> None:
    """What can be seen in a first boot only needs this: on a server in use it is not shown."""
    if "streams" in pytestconfig.stash[CONTEXT]["connection"]:
        pytest.skip(FIRST_BOOT.es)


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Callable[[object], None]:
    """Record the value that a test read on the machine: it is the evidence in the report.

    Of a mapping or a collection each entry is a line, as an accreditor reads it.
    """
    evidence: list[str] = request.node.stash[SEEN]

    def record(value: object) -> None:
        lines: list[object] = [value]
        if isinstance(value, Mapping) and value:
            lines = [f"{key}: {item}" for key, item in value.items()]
        elif isinstance(value, list | tuple | set | frozenset) and value:
            lines = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        evidence.append("\n".join(map(str, lines)).strip()[:2000])

    return record
