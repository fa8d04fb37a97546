"""A server in use, reached by the person's own ssh: one connection, one root shell, and nothing but looks."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import secrets
import selectors
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.ask.plan import Plan
from builder.make.findings import Server
from builder.tools.console import say
from builder.tools.errors import BadInput, StageFailed
from builder.tools.process import Argument, Program, run, start

CONNECT_SECONDS = 300.0
"""For a person who may have to type a passphrase, and to look at a host key."""
SUDO_SECONDS = 120.0
ANSWER_SECONDS = 120.0
PERSONS = (
    *("SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY", "WAYLAND_DISPLAY", "KRB5CCNAME"),
    *("TERM", "XDG_RUNTIME_DIR"),
)
"""Variables by which ssh finds the person's agent and asks for what it needs."""
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:%\[\]\\-]*")


@dataclass(frozen=True)
class RunningServer:
    """A server in use, with a root shell on it."""

    plan: Plan
    server: Server
    system: str
    """PRETTY_NAME of its os-release."""
    postfix: str
    firmware: str
    streams: tuple[int, int, int]
    """The root shell's input, output and errors."""

    @property
    def address(self) -> str:
        """The address that the site gives to it."""
        return str(self.plan.site.network.address.ip)

    @property
    def connection(self) -> dict[str, list[int]]:
        """How the tests reach it."""
        return {"streams": list(self.streams)}

    @property
    def clients(self) -> dict[str, str | None]:
        """There are none: who speaks to a server in use is not for us to play."""
        return {}

    def inside(self, argv: Sequence[Argument]) -> list[str]:
        """Return the argument list as it is: what looks at it runs here."""
        return [str(word) for word in argv]


@contextlib.contextmanager
def reach_server(
    plan: Plan, host: str, work: Path, *, config: Path | None, log: Path
) -> Iterator[RunningServer]:
    """Reach a server by ssh as the person does, become root there, and leave it when the block ends.

    Args:
        host: as ssh takes it: `user@host`, or a name of ssh_config(5).
        work: a private folder of short path, for the connection's socket.
        config: the person's ssh_config(5), if it is not ssh's own.
        log: what ssh says goes there; nothing that the person types does.

    Raises:
        BadInput: it is no name of a host; it is of another platform than the plan; sudo refused.
        StageFailed: it can't be reached, or does not answer.
    """
    if not HOST.fullmatch(host):
        raise BadInput(f"{host!r} is neither a file nor a host as ssh takes it")
    with connect(host, work, config, log) as ssh:
        said = ask_who_it_is(plan, ssh, host)
        system, postfix, firmware, server = identify(plan, host, said, log)
        with become_root(ssh, host, log) as shell:
            streams = shell.popen.stdin, shell.popen.stdout, shell.popen.stderr
            numbers = [stream.fileno() for stream in streams if stream]
            yield RunningServer(plan, server, system, postfix, firmware, (numbers[0], numbers[1], numbers[2]))


@contextlib.contextmanager
def connect(host: str, work: Path, config: Path | None, log: Path) -> Iterator[list[Argument]]:
    """Open the one connection, and yield the words by which each ssh joins it.

    Raises:
        StageFailed: ssh does not get there; its own words say why.
    """
    socket = work / "ssh"
    # The person's configuration holds; what is ours makes one connection of it that does nothing but this.
    options: list[Argument] = [
        *(("-F", config) if config else ()),
        *("-o", f"ControlPath={socket}", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none"),
        *("-o", "PermitLocalCommand=no", "-a", "-x", "-T"),
    ]
    env = {name: os.environ[name] for name in PERSONS if name in os.environ}
    master: list[Argument] = [
        *("ssh", *options, "-o", "ControlMaster=yes", "-o", "ControlPersist=no"),
        *("-o", "ServerAliveInterval=20", "-v", "-E", log, "-N", "--", host),
    ]
    joined: list[Argument] = ["ssh", *options, "-o", "ControlMaster=no", "-o", "BatchMode=yes"]
    log.touch(0o600)
    with start(
        master, doing=f"reach {host} by SSH", log=log, stdout_to_log=True, env=env, terminal=True, grace=2.0
    ) as program:
        deadline = time.monotonic() + CONNECT_SECONDS
        check = [*joined, "-O", "check", "--", host]
        while not socket.exists() or run(check, doing="see the connection", accept=range(256)).returncode:
            if not program.running() or time.monotonic() > deadline:
                raise StageFailed(f"{host} can't be reached by SSH: {last_words(log)}", hint=f"see {log}")
            time.sleep(0.1)
        yield [*joined, "--", host]


def last_words(log: Path) -> str:
    """Return the last line of ssh's log that is meant for people."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    told = [line for line in lines if line and not re.match(r"debug\d:|\+ |Transferred:|Bytes per", line)]
    return told[-1] if told else "no answer"


def ask_who_it_is(plan: Plan, ssh: Sequence[Argument], host: str) -> list[str]:
    """Return what the server says of itself, to anybody who may log in; each answer after a mark."""
    query = plan.platform.tools.query_package
    questions = ("cat /etc/os-release", "hostname", "sha256sum < /etc/machine-id", f"{query} postfix")
    firmware = "test -d /sys/firmware/efi && echo uefi || echo bios"
    script = " ".join(f"({question}) 2>&1; echo {MARK};" for question in (*questions, firmware))
    said = run([*ssh, script], doing=f"ask {host} what it is", timeout=ANSWER_SECONDS, accept=range(256))
    answers = [answer.strip() for answer in said.stdout.split(f"{MARK}\n")]
    if len(answers) != len(questions) + 2:
        raise StageFailed(f"{host} runs no commands for this user: {' / '.join(said.stdout.split())[-200:]}")
    return answers


MARK = "forja-fin"


def identify(plan: Plan, host: str, said: Sequence[str], log: Path) -> tuple[str, str, str, Server]:
    """Return system, package of Postfix, firmware and identity of the server.

    Raises:
        BadInput: it is of another platform than the plan.
    """
    release, name, machine, postfix, firmware, *_ = said
    pairs = (line.partition("=") for line in release.splitlines())
    found = {key: value.strip("\"'") for key, _, value in pairs}
    known = plan.platform.identity.os_release
    if not any(one.items() <= found.items() for one in known):
        what = found.get("PRETTY_NAME", "no system that tells its name")
        raise BadInput(
            f"{host} is '{what}', and the plan is for {plan.platform.title}",
            hint="give the plan of this server, with --plan or --profile, --site and --platform",
        )
    key = re.findall(r"Server host key: (\S+ \S+)", log.read_text(encoding="utf-8", errors="replace"))
    server = Server(name=name, machine=machine.split()[0], host_key=key[-1] if key else "")
    return found.get("PRETTY_NAME", ""), " ".join(postfix.split()), firmware, server


@contextlib.contextmanager
def become_root(ssh: Sequence[Argument], host: str, log: Path) -> Iterator[Program]:
    """Start a root shell over the connection: as root, or by sudo, whose password is asked for once.

    Raises:
        BadInput: sudo wants a password and nobody can be asked, or does not take it, or allows nothing.
        StageFailed: it does not answer.
    """
    ready, prompt = f"root-{secrets.token_hex(8)}", f"sudo-{secrets.token_hex(8)}"
    shell = f"sh -c 'echo {ready}; exec sh'"
    command = f"if [ $(id -u) = 0 ]; then exec {shell}; else exec sudo -S -p {prompt} {shell}; fi"
    with start(
        [*ssh, command],
        doing=f"become root on {host}",
        log=log,
        stdin=True,
        errors_apart=True,
        grace=2.0,
    ) as program:
        said = Said(program, time.monotonic() + SUDO_SECONDS)
        asked = 0
        while said.more():
            if f"{ready}\n".encode() in said.out:
                yield program
                return
            if said.errors.count(prompt.encode()) > asked:
                if asked:
                    raise BadInput(f"sudo on {host} did not take the password", hint="it was given once only")
                asked += 1
                said.answer(ask_password(host))
        words = (said.out + said.errors).decode("utf-8", "replace").replace(prompt, "").splitlines()
        last = "".join([word.strip() for word in words if word.strip()][-1:])
        raise BadInput(f"nobody becomes root on {host} like this: {last or 'sudo did not answer'}")


class Said:
    """What a shell has said until it is ready, not a byte more: the rest is its later reader's."""

    def __init__(self, program: Program, deadline: float) -> None:
        self.popen, self.deadline = program.popen, deadline
        self.out = self.errors = b""

    def more(self) -> bool:
        """Read on; False once the shell has ended, or time is up."""
        streams = {stream.fileno(): stream for stream in (self.popen.stdout, self.popen.stderr) if stream}
        with selectors.DefaultSelector() as selector:
            for number in streams:
                selector.register(number, selectors.EVENT_READ)
            ready = selector.select(max(0.0, self.deadline - time.monotonic()))
        pieces = {key.fd: os.read(key.fd, 1) for key, _ in ready}
        for number, piece in pieces.items():
            if streams[number] is self.popen.stdout:
                self.out += piece
            else:
                self.errors += piece
        return any(pieces.values())

    def answer(self, text: str) -> None:
        """Send a line; the time that a person took for it does not count."""
        if self.popen.stdin is not None:
            self.popen.stdin.write(text.encode() + b"\n")
            self.popen.stdin.flush()
        self.deadline = time.monotonic() + SUDO_SECONDS


def ask_password(host: str) -> str:
    """Return the password that sudo asks for, typed at the terminal and shown nowhere.

    Raises:
        BadInput: there is no terminal.
    """
    try:
        with open("/dev/tty", "rb"):  # noqa: PTH123 - whether there is one
            pass
    except OSError as error:
        raise BadInput(
            f"sudo on {host} asks for a password, and there is no terminal to ask for it",
            hint="call forja from a terminal",
        ) from error
    try:
        return getpass.getpass(f"sudo password on {host}: ")
    except EOFError as error:
        raise BadInput("no password was given") from error


def tell(server: RunningServer) -> None:
    """Say what was found at the other end."""
    say(f"{server.server.name}: {server.system}, {server.postfix or 'no Postfix'}")
    say(f"SSH host key {server.server.host_key}")
