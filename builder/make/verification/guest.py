"""A booted throwaway copy: a guest at the site's address, in a cell where every client of the site speaks."""

from __future__ import annotations

import contextlib
import ipaddress
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.ask.plan import Plan
from builder.make.verification.clients import choose_clients
from builder.make.verification.throwaway import Throwaway
from builder.tools.cell import Cell
from builder.tools.console import say
from builder.tools.errors import BadInput, StageFailed
from builder.tools.host import accelerator
from builder.tools.machine import HYPERV_BUS, Bus, Console, FirmwareKind, attach, describe_machine
from builder.tools.process import Argument, Result, run, start

BOOT_SECONDS = {"kvm": 180.0, "tcg": 600.0}
FAILURES = ("Kernel panic", "Entering emergency mode", "You are in emergency mode", "No bootable device")
BOOTING = ("initializing", "starting")
SSH_NAME = "guest"
SSH_SOCKET = "ssh.socket"


@dataclass(frozen=True)
class Guest:
    """A guest that answers by SSH."""

    plan: Plan
    cell: Cell
    ssh_config: Path
    clients: dict[str, str | None]
    boot_seconds: float

    @property
    def address(self) -> str:
        """The address that the site gives to the server."""
        return str(self.plan.site.network.address.ip)

    @property
    def connection(self) -> dict[str, list[str]]:
        """How the tests reach it: one root shell, over the one SSH connection."""
        return {"argv": ["ssh", "-F", str(self.ssh_config), SSH_NAME, "exec sudo -n sh"]}

    def inside(self, argv: Sequence[Argument]) -> list[str]:
        """Return the argument list that runs `argv` where the guest can be reached."""
        return self.cell.inside(argv)

    def ssh(self, command: str, *, doing: str, accept: Sequence[int] = (0,)) -> Result:
        """Run a shell command in the guest as root, over the one connection."""
        argv: list[Argument] = ["ssh", "-F", self.ssh_config, SSH_NAME, f"sudo -n sh -c {_quoted(command)}"]
        return run(self.cell.inside(argv), doing=doing, accept=accept, timeout=300)


@contextlib.contextmanager
def boot_guest(
    plan: Plan,
    throwaway: Throwaway,
    work: Path,
    cell: Cell,
    *,
    firmware: FirmwareKind,
    serial: Path,
    log: Path,
) -> Iterator[Guest]:
    """Boot a throwaway copy and yield it once it answers by SSH; it is ended with the block.

    Args:
        work: a folder of short path (a socket lies in it) that lives as long as the guest.
        serial: where its console is kept.

    Raises:
        BadInput: the site lets nobody reach SSH from a place that this host can stand for.
        StageFailed: it does not boot, or does not answer.
    """
    clients = choose_clients(plan)
    if clients["admin"] is None:
        raise BadInput(
            "no address of admin.networks can be stood for: all lie in the server's own subnet",
            hint="verification needs an administrators' network beyond the gateway, or the gateway in it",
        )
    serial.unlink(missing_ok=True)
    serial.parent.mkdir(parents=True, exist_ok=True)
    # A resolver that refuses is better than silence, which every session would wait for; mail tests serve it.
    resolvers = map(str, plan.site.network.dns)
    for address in {str(plan.site.network.address.ip), *resolvers, *filter(None, clients.values())}:
        cell.add_address(address)
    config = write_ssh_config(plan, throwaway, work, clients["admin"])
    (work / SSH_SOCKET).unlink(missing_ok=True)  # of a guest that was ended
    machine = describe_machine(firmware, work, serial)
    more = [
        *attach(throwaway.disk, HYPERV_BUS[firmware] if throwaway.hyperv else Bus.VIRTIO),
        *(("-drive", f"file={seed},format=raw,media=cdrom,readonly=on") if (seed := throwaway.seed) else ()),
        *("-netdev", network_option(plan)),
        *("-device", "virtio-net-pci,netdev=net0", "-device", "virtio-rng-pci"),
        *("-display", "none"),
    ]
    argv = cell.inside(machine.argv(memory_mib=2048, cpus=2, more=more))
    began = time.monotonic()
    with start(argv, doing="boot the throwaway copy", log=log, stdout_to_log=True, grace=0.0) as program:
        console = Console(serial)
        deadline = began + BOOT_SECONDS[accelerator()]
        while not _answers(cell, config):
            bad = [line for line in console.lines() if any(word in line for word in FAILURES)]
            if bad or not program.running() or time.monotonic() > deadline:
                reason = bad[0] if bad else "it ended" if not program.running() else "no SSH in time"
                raise StageFailed(f"the image does not boot: {reason}", hint=f"its console is in {serial}")
            time.sleep(1)
        seconds = time.monotonic() - began
        say(f"SSH answered after {seconds:.0f} s")
        # The one connection, which every later ssh joins by its socket.
        master = cell.inside(["ssh", "-F", config, "-M", "-N", SSH_NAME])
        with start(master, doing="keep the SSH connection", log=log, stdout_to_log=True, grace=0.0):
            while not _answers(cell, config, "-O", "check"):
                time.sleep(0.2)
                if time.monotonic() > deadline:
                    raise StageFailed(
                        "the guest answered by SSH once, and then no more", hint=f"see {serial}"
                    )
            guest = Guest(plan, cell, config, clients, seconds)
            # SSH answers before the rest is up, and what is looked at is a machine that has booted.
            while guest.ssh("systemctl is-system-running || :", doing="see it up").stdout.strip() in BOOTING:
                if time.monotonic() > deadline:
                    raise StageFailed("the image does not finish booting", hint=f"its console is in {serial}")
                time.sleep(1)
            yield guest


def network_option(plan: Plan) -> str:
    """Return QEMU's user network as the site's subnet: its gateway is ours, its address is the guest's.

    Ports that the plan opens are forwarded from the same address in the cell; a client's own address is kept.
    """
    interface = plan.site.network.address
    net = ipaddress.IPv4Network((interface.ip, min(interface.network.prefixlen, 24)), strict=False)
    taken = {interface.ip, plan.site.network.gateway}
    resolver = next(host for host in net.hosts() if host not in taken)
    ports = sorted({port.port for port in plan.ports if port.reached_from != "loopback"} | {22, 24})
    forwards = ",".join(f"hostfwd=tcp:{interface.ip}:{port}-{interface.ip}:{port}" for port in ports)
    return f"user,id=net0,ipv6=off,net={net},host={plan.site.network.gateway},dns={resolver},{forwards}"


def write_ssh_config(plan: Plan, throwaway: Throwaway, work: Path, client: str) -> Path:
    """Write the ssh_config(5) of the one connection, and return its path."""
    path = work / "ssh_config"
    path.write_text(
        f"""\
Host {SSH_NAME}
  HostName {plan.site.network.address.ip}
  User {plan.site.admin.user}
  BindAddress {client}
  IdentityFile {throwaway.key}
  IdentitiesOnly yes
  BatchMode yes
  ConnectTimeout 10
  UserKnownHostsFile {work / "known_hosts"}
  StrictHostKeyChecking accept-new
  LogLevel ERROR
  ControlPath {work / SSH_SOCKET}
  ServerAliveInterval 20
"""
    )
    return path


def _answers(cell: Cell, config: Path, *how: str) -> bool:
    argv = cell.inside(["ssh", "-F", config, *how, SSH_NAME, *([] if how else ["true"])])
    return run(argv, doing="reach the guest by SSH", accept=range(256), timeout=120).returncode == 0


def _quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"
