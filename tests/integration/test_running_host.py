"""`forja verify HOST` against a real sshd on the loopback: how it gets there, what it refuses.

The server is this machine, under a plan that takes it for its own. A whole verification is seen on a booted
image, in test_running_server.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.ask.plan import make_plan

from .conftest import REPOSITORY, Run
from .terminal import at_a_terminal, forja_words

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")
LOOKED_AT = "RHEL-BOOT-06"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes root without sudo")


@dataclass(frozen=True)
class Sshd:
    """A server of our own, and the folder with the client's key and configuration."""

    folder: Path
    port: int

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text()


def configure(
    folder: Path, port: int, *, key: str = "key", known: str = "known", user: str = getpass.getuser()
) -> Path:
    """Write the ssh_config of a person, whose `relay` is the server."""
    path = folder / "config"
    path.write_text(
        f"Host relay\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n"
        f"  IdentityFile {folder / key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
        f"  UserKnownHostsFile {folder / known}\n  StrictHostKeyChecking yes\n  GlobalKnownHostsFile none\n"
        # What a person may have there, and must not get in the way.
        f"  ControlMaster auto\n  ControlPath {folder / 'theirs'}\n  ControlPersist 600\n  RequestTTY yes\n"
        "  RemoteCommand false\n  ConnectTimeout 60\n"
    )
    return path


@contextlib.contextmanager
def serve(
    folder: Path, *, user: str = getpass.getuser(), within: Sequence[str | Path] = ()
) -> Iterator[Sshd]:
    """Run an sshd that lets in the key of `folder`, until the block ends.

    Args:
        within: words that start it somewhere else.
    """
    assert SSHD, "openssh-server is not installed: make setup"
    for name in ("host", "key", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "allowed").write_text((folder / "key.pub").read_text())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    public = (folder / "host.pub").read_text().rsplit(" ", 1)[0]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {public}\n")
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder / 'host'}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder / 'allowed'}\nStrictModes no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        "LogLevel VERBOSE\nMaxSessions 4\n"
    )
    configure(folder, port, user=user)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it separates its privileges
    log = folder / "sshd.log"
    argv = [*within, SSHD, "-D", "-f", folder / "sshd_config", "-E", log]
    program = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not log.exists() or "Server listening" not in log.read_text():
            assert program.poll() is None, "sshd does not start"
            assert time.monotonic() < end, "sshd does not start"
            time.sleep(0.1)
        yield Sshd(folder, port)
    finally:
        program.terminate()
        program.wait(30)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serve(tmp_path_factory.mktemp("sshd")) as running:
        yield running


USER, PASSWORD = "forja-prueba", "Clave-Buena-de-1-prueba"
ELSEWHERE = """
set -e
cp -a /etc "$1/etc"
mount --bind "$1/etc" /etc
useradd -M -d / -s /bin/sh "$2"
echo "$2:$3" | chpasswd
printf 'Defaults use_pty\\n%s ALL=(ALL) ALL\\n' "$2" > /etc/sudoers.d/forja-prueba
chmod 0440 /etc/sudoers.d/forja-prueba
shift 3
exec "$@"
"""
"""A person who becomes root by sudo, on this machine and not in its files: a copy of /etc lies over them."""


@pytest.fixture
def sshd_and_sudo(tmp_path: Path) -> Iterator[Sshd]:
    assert shutil.which("sudo"), "sudo is not installed"
    folder = Path(tempfile.mkdtemp(prefix="forja-", dir="/tmp"))  # where a person without rights may read
    folder.chmod(0o755)
    try:
        within = ["unshare", "--mount", "sh", "-c", ELSEWHERE, "sh", tmp_path, USER, PASSWORD]
        with serve(folder, user=USER, within=within) as running:
            yield running
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(tmp_path / "etc", ignore_errors=True)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan that takes this machine for what it is for."""
    pairs = (line.partition("=") for line in Path("/etc/os-release").read_text().splitlines())
    here = {name: value.strip("\"'") for name, _, value in pairs}
    made = make_plan("clasificado", None, "laboratorio").model_dump(mode="json")
    made["platform"]["identity"]["os_release"] = [{"ID": here["ID"]}]
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    path.write_text(json.dumps(made))
    return path


def verify(*words: str | Path, cwd: Path) -> Run:
    """Run `forja verify` without a terminal, somewhere else than at home."""
    argv = [sys.executable, "-m", "builder.cli", "verify", *map(str, words)]
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        argv, cwd=cwd, env=env, text=True, capture_output=True, check=False, timeout=600,
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return Run(done.returncode, done.stdout, done.stderr)


def error_of(run: Run) -> str:
    lines = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, run.stderr
    return lines[0]


@as_root
def test_one_connection_and_a_report_of_this_server(sshd: Sshd, plan: Path, tmp_path: Path) -> None:
    before = sshd.log.count("Accepted publickey")
    run = verify("relay", "--ssh-config", sshd.config, "--plan", plan, "--control", LOOKED_AT, cwd=tmp_path)
    assert run.code == 3, run.stderr  # this machine is no relay
    assert LOOKED_AT in error_of(run)
    assert sshd.log.count("Accepted publickey") == before + 1
    assert not (sshd.folder / "theirs").exists()
    folder = tmp_path / "relay.verification"
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", sshd.folder / "host.pub"], check=True, capture_output=True, text=True
    ).stdout.split()[1]
    subject = json.loads((folder / "findings.json").read_text())["subject"]
    assert subject["server"]["name"] == socket.gethostname()
    assert subject["server"]["host_key"] == f"ssh-ed25519 {fingerprint}"
    assert re.fullmatch("[0-9a-f]{64}", subject["server"]["machine"])
    assert subject["image"] == subject["sha256"] == ""
    page = (folder / "lista-de-comprobacion.html").read_text()
    assert fingerprint in page
    assert "Servidor en uso verificado" in page
    for name in ("csv", "json", "junit.xml", "xccdf.xml"):
        assert (folder / f"lista-de-comprobacion.{name}").stat().st_size > 0
    assert "Imagen verificada" not in page


@as_root
def test_what_acts_is_not_done(sshd: Sshd, plan: Path, tmp_path: Path) -> None:
    """clamd is given EICAR and is stopped, accounts are made, mail is played: in a throwaway copy only."""
    acting = ("CCN681-6.5-46", "RHEL-ACCOUNT-14", "CCN681-6.5.9-06", "CCN681-6.5.5-01", "RHEL-AIDE-04")
    words = [word for control in acting for word in ("--control", control)]
    accounts = Path("/etc/passwd").read_bytes()
    run = verify("relay", "--ssh-config", sshd.config, "--plan", plan, *words, cwd=tmp_path)
    findings = json.loads((tmp_path / "relay.verification" / "findings.json").read_text())["findings"]
    spared = {
        control
        for finding in findings
        if (finding["reason"] or {}).get("en", "").startswith("It acts on the server")
        for control in finding["controls"]
    }
    assert set(acting) - {"RHEL-AIDE-04"} <= spared, run.stderr
    assert Path("/etc/passwd").read_bytes() == accounts


@as_root
@pytest.mark.skipif(shutil.which("sudo") is None, reason="no sudo on this machine")
def test_sudo_is_given_its_password_once(sshd_and_sudo: Sshd, plan: Path, tmp_path: Path) -> None:
    ask = "sudo password on relay: "
    words = ("verify", "relay", "--ssh-config", sshd_and_sudo.config, "--plan", plan, "--control", LOOKED_AT)
    argv = forja_words(*words, "--output", tmp_path / "out")
    wrong = at_a_terminal(argv, ask, "mala", timeout=600)
    assert wrong.code == 2, wrong.shown
    assert "error: sudo on relay did not take the password" in wrong.shown
    assert wrong.shown.count(ask) == 1
    assert not (tmp_path / "out" / "findings.json").exists()
    right = at_a_terminal(argv, ask, PASSWORD, timeout=600)
    assert right.code == 3, right.shown
    assert right.shown.count(ask) == 1
    assert PASSWORD not in right.shown
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or PASSWORD not in path.read_text(errors="replace"), path
    silent = verify(*words[1:], cwd=tmp_path)  # nobody is there to be asked
    assert silent.code == 2
    assert "there is no terminal to ask" in error_of(silent)
    assert sshd_and_sudo.log.count("Accepted publickey") == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"port": 1}, "can't be reached by SSH: .*Connection refused"),
        ({"key": "stranger"}, r"can't be reached by SSH: .*Permission denied \(publickey\)"),
        ({"known": "nobody"}, "can't be reached by SSH: Host key verification failed"),
    ],
)
def test_without_a_connection_nothing_is_made(
    change: dict[str, str | int], says: str, sshd: Sshd, plan: Path, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    for path in sshd.folder.iterdir():
        if path.name in ("key", "stranger", "known"):
            shutil.copy2(path, tmp_path / "own" / path.name)
    config = configure(tmp_path / "own", **{"port": sshd.port, **change})  # type: ignore[arg-type]
    run = verify("relay", "--ssh-config", config, "--plan", plan, cwd=tmp_path)
    assert run.code == 5
    assert re.search(says, error_of(run)), run.stderr
    assert not (tmp_path / "relay.verification" / "findings.json").exists()


def test_a_server_of_another_platform_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    run = verify("relay", "--ssh-config", sshd.config, "--profile", "clasificado", cwd=tmp_path)
    assert run.code == 2
    assert "and the plan is for Red Hat Enterprise Linux 8.3" in error_of(run)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["relay"], "what is relay to be held against?"),
        (["relay", "--profile", "clasificado", "--firmware", "uefi"], "--firmware is for an image"),
        (["relay", "--profile", "clasificado", "--ssh-config", "none"], "ssh_config none does not exist"),
        (["relay", "--plan", "plan.json", "--profile", "clasificado"], "is no plan|--profile is for"),
        (["--profile", "clasificado", "--", "-oProxyCommand=false"], "neither a file nor a host"),
        (["other/image.qcow2"], "is no plan of this version"),
        (["./image.qcow2", "--verified", "x"], "--verified is for a server in use"),
    ],
)
def test_words_that_make_no_sense(words: list[str], says: str, tmp_path: Path) -> None:
    run = verify(*words, cwd=tmp_path)
    assert run.code == 2
    assert re.search(says, error_of(run)), run.stderr
