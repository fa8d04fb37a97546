"""Mail that goes through: the name servers and the next relay that it needs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from world import CERTIFICATE, World, open_world

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest

Verdicts = Callable[[Iterable[str]], dict[str, str]]


@pytest.fixture(scope="session")
def world(plan: Plan, guest: Guest, host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Name servers and next relay, until the end; our DKIM key is published."""
    guest.client_address("next-hop")
    certificate = tmp_path_factory.mktemp("siguiente") / "siguiente.pem"
    certificate.write_text(host.check_output(CERTIFICATE))
    with open_world(plan, guest.clients, certificate) as around:
        record = host.run("cat /etc/opendkim/registro-dns.txt").stdout
        around.names.add("\n".join(line for line in record.splitlines() if not line.startswith(";")))
        host.check_output("postqueue -f")  # what earlier sessions left undelivered
        yield around


@pytest.fixture(scope="session")
def verdicts(host: Any) -> Verdicts:
    """Wait until the filter has decided on messages: token -> its line in the log."""

    def wait(tokens: Iterable[str], seconds: float = 240) -> dict[str, str]:
        wanted, found = list(tokens), dict[str, str]()
        end = time.monotonic() + seconds
        while len(found) < len(wanted) and time.monotonic() < end:
            log = host.run(
                "grep -E 'amavis\\[[0-9]+\\]: \\([0-9-]+\\) (Passed|Blocked) ' /var/log/maillog"
            ).stdout
            for line in log.splitlines():
                for token in wanted:
                    if f"Message-ID: <{token}@" in line:
                        found[token] = re.sub(r"^.*?\) (?=Passed|Blocked)", "", line)
            time.sleep(1)
        return {token: found.get(token, "undecided") for token in wanted}

    return wait
