"""A cell: network and process namespaces that programs run in, and that die with us.

Nothing in a cell reaches a network: it has its own loopback, on which it may have any address, so that a
guest can be spoken to from every address of a site. Needs no privilege where user namespaces are allowed
(user_namespaces(7)). All its processes are killed by the kernel when its first one ends, and that one ends
when our end of its standard input closes, even if we are killed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.tools.errors import HostUnready
from builder.tools.process import Argument, run, start

PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Cell:
    """A running cell, by the process number of its first process."""

    pid: int

    def inside(self, argv: Sequence[Argument]) -> list[str]:
        """Return the argument list that runs `argv` inside the cell."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return [
            "nsenter",
            f"--target={self.pid}",
            *user,
            "--net",
            "--pid",
            "--",
            *(str(word) for word in argv),
        ]

    def add_address(self, address: str) -> None:
        """Give the cell's loopback an IPv4 address of its own."""
        run(
            self.inside(["ip", "address", "add", f"{address}/32", "dev", "lo"]),
            doing=f"give the address {address} to the cell",
            accept=(0, 2),  # it has that address already
        )


@contextlib.contextmanager
def open_cell() -> Iterator[Cell]:
    """Open a cell; when the block is left, everything in it is killed.

    Raises:
        HostUnready: this host allows no namespaces to this user.
    """
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    argv = ["unshare", *user, "--net", "--pid", "--fork", "--kill-child", "cat"]
    with start(argv, doing="open a cell of its own for the guest", stdin=True, grace=0.0) as holder:
        deadline = time.monotonic() + PATIENCE_SECONDS
        children = Path(f"/proc/{holder.popen.pid}/task/{holder.popen.pid}/children")
        pid = ""
        while not pid and holder.running() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                pid = children.read_text().strip()
            time.sleep(0.02)
        if not pid:
            raise HostUnready(
                "this host does not allow network namespaces to this user",
                hint="run as root, or allow them: sysctl user.max_user_namespaces=15000",
            )
        cell = Cell(int(pid))
        run(cell.inside(["ip", "link", "set", "lo", "up"]), doing="bring up the cell's loopback")
        yield cell
