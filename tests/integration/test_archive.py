"""The archive for servers in production, on one of them: the laboratory's Debian, with a past of its own.

No machine boots: the root file system of the laboratory is entered in namespaces, as root of it, with no
network. What is done there is what an operator does; what must not be seen afterwards is looked for in the
whole tree.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.request import Request, find_laboratory_dvd
from builder.tools.process import find_program

from .conftest import CACHE, Run, forja

NEEDLESS = (
    "boot",
    "usr/lib/modules",
    "usr/lib/grub",
    "usr/share/grub",
    "usr/share/i18n",
    "var/lib/apt/lists",
)
MEMORY = Path("/dev/shm")
ARCHIVE = "/tmp/clasificado.unsigned.pyz"
ENTER = """
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"; mount --rbind /dev "$2/root/dev"
mount -t tmpfs tmpfs "$2/root/run"; mount -t tmpfs tmpfs "$2/root/tmp"; mkdir "$2/root/run/sshd"
ip link set lo up; cp "$3" "$2/root/tmp/"
exec chroot "$2/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 sh -ec "$4"
"""
PAST = """
useradd --create-home --groups wheel administrador
useradd --create-home operador
useradd --create-home auditora
printf 'administrador:Una-clave-de-prueba-1\\n' | chpasswd
printf '[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n' > \\
    /etc/systemd/system/propia.service
SYSTEMD_OFFLINE=1 systemctl enable propia.service
printf '# de la casa\\n' >> /etc/ssh/sshd_config
chmod 0600 /etc/issue
mkdir -m 0700 /home/operador/.gnupg /home/operador/.gnupg/private-keys-v1.d
printf 'armor\\n' > /home/operador/.gnupg/gpg.conf
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
postfix check
ln -s /srv/aviso /etc/issue.net.viejo
"""
"""What a server has that was somebody's before: accounts, a unit, changed files, a key ring, a host key."""

LOOK = """
import hashlib, os, stat, sys
for top, folders, files in os.walk('/'):
    folders[:] = [f for f in folders if top != '/' or f not in ('proc', 'dev', 'run', 'tmp', 'sys')]
    for name in sorted(folders + files):
        path = os.path.join(top, name)
        s = os.lstat(path)
        what = ''
        if stat.S_ISREG(s.st_mode): what = hashlib.sha256(open(path, 'rb').read()).hexdigest()
        elif stat.S_ISLNK(s.st_mode): what = os.readlink(path)
        names = sorted(os.listxattr(path, follow_symlinks=False))
        xattrs = [(name, os.getxattr(path, name, follow_symlinks=False)) for name in names]
        print(ascii((path, oct(s.st_mode), s.st_uid, s.st_gid, what, xattrs)))
"""
"""Every path of a tree with all that has to come back; times apart."""


@dataclass(frozen=True)
class Server:
    """A server in use: commands run in it one after the other, and what they leave stays."""

    lower: Path
    folder: Path
    archive: Path

    def run(self, command: str) -> Run:
        argv = [*namespaces(), "sh", "-ec", ENTER, "sh", self.lower, self.folder, self.archive, command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
        return Run(done.returncode, done.stdout, done.stderr)

    def check(self, command: str) -> str:
        done = self.run(command)
        assert done.code == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def overlay(self, words: str) -> Run:
        """Run the archive as its page says."""
        return self.run(f"/usr/bin/python3 {ARCHIVE} {words}")

    def look(self) -> set[str]:
        return set(self.check(f'python3 -c "{LOOK}"').splitlines())


def namespaces() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    return ["unshare", *user, "--mount", "--net", "--pid", "--fork", "--kill-child"]


@pytest.fixture(scope="module")
def lower() -> Iterator[Path]:
    """The laboratory's Debian, unpacked into memory where that can hold a layer's marks (trusted.overlay)."""
    if find_program("mmdebstrap") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("mmdebstrap is not on this host")
    iso = find_laboratory_dvd(Request(profile="clasificado", cache=CACHE))
    place = MEMORY if os.geteuid() == 0 and MEMORY.is_dir() else CACHE
    with tempfile.TemporaryDirectory(prefix="forja-archive-", dir=place) as folder:
        image, tree = Path(folder, "install.img"), Path(folder, "debian")
        extract = ["xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/images/install.img", image]
        subprocess.run(extract, check=True, capture_output=True)
        unpack = ["unsquashfs", "-quiet", "-no-progress", "-dest", tree, "-excludes", image, *NEEDLESS]
        subprocess.run([*namespaces(), *unpack], check=True, capture_output=True)
        image.unlink()
        yield tree
        subprocess.run([*namespaces(), "rm", "-rf", tree], check=True)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / Path(ARCHIVE).name
    run = forja(
        "overlay", "clasificado", "--platform", "laboratorio", "--archive", "--unsigned", "--output", path
    )
    assert run.code == 0, run.stderr
    assert run.stdout.splitlines() == [str(path), f"{path}.sha256"]
    return path


@pytest.fixture
def server(lower: Path, archive: Path) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="server-", dir=lower.parent) as name:
        folder = Path(name)
        for part in ("upper", "work", "root"):
            (folder / part).mkdir(mode=0o755)
        server = Server(lower, folder, archive)
        server.check(PAST)
        yield server
        subprocess.run(
            [*namespaces(), "rm", "-rf", *(folder / part for part in ("upper", "work"))], check=True
        )


def test_a_server_and_back(server: Server) -> None:
    before, own = server.look(), server.check("grep ^administrador: /etc/shadow")
    check = server.overlay("--check")
    assert check.code == 3, check.stderr
    assert "~ /etc/ssh/sshd_config" in check.stdout
    assert "    -# de la casa" in check.stdout
    assert "    +PermitRootLogin no" in check.stdout
    assert "+ /etc/postfix/header_checks" in check.stdout
    assert "propia.service" not in check.stdout
    assert server.look() == before

    first = server.overlay("--apply --lang en")
    assert first.code == 0, first.stdout + first.stderr
    assert "to do: sudo chage --maxdays 45 " in first.stdout
    assert "sudo systemctl disable --now propia.service" in first.stdout
    assert "/home/operador/.gnupg" in first.stdout
    applied = server.look()
    changed = {line.split("'")[1] for line in before ^ applied}
    assert {
        "/etc/ssh/sshd_config",
        "/etc/postfix/header_checks",
        "/etc/group",
        "/root/.gnupg/gpg.conf",
    } <= changed
    assert server.check("grep ^administrador: /etc/shadow") == own, "passwords are people's"
    assert not [path for path in changed if "ssh_host_ed25519" in path]
    assert not [path for path in changed if path.startswith("/home/operador/")]
    said = server.check(
        "sshd -T | grep -i permitrootlogin; SYSTEMD_OFFLINE=1 systemctl is-enabled propia amavisd clamd@scan;"
        "stat -c '%a %U:%G' /etc/amavisd/amavisd.conf /etc/opendkim/keys/forja.private;"
        "openssl x509 -in /etc/pki/tls/certs/forja-postfix.pem -noout -subject;"
        "cat /home/operador/.gnupg/gpg.conf"
    ).splitlines()
    assert said[:6] == [
        "permitrootlogin no",
        *("enabled", "enabled", "enabled"),
        *("640 root:amavis", "600 opendkim:opendkim"),
    ]
    assert said[6].startswith("subject=")
    assert said[7:] == ["armor"]

    second = server.overlay("--apply")
    assert second.code == 0, second.stderr
    assert "nada que cambiar" in second.stdout
    assert server.look() == applied
    again = server.overlay("--check")
    assert again.code == 0, again.stdout
    assert "nada que cambiar" in again.stdout

    undo = server.overlay("--undo")
    assert undo.code == 0, undo.stderr
    assert server.look() == before
    assert server.overlay("--undo").code == 2


def test_what_differs_later_is_put_right_and_taken_back_alone(server: Server) -> None:
    assert server.overlay("--apply").code == 0
    server.check("echo 'PermitRootLogin yes' >> /etc/ssh/sshd_config; chmod 0644 /etc/ssh/sshd_config")
    drifted = server.look()
    check = server.overlay("--check")
    assert check.code == 3
    assert "    -PermitRootLogin yes" in check.stdout
    assert "0644 -> 0600" in check.stdout
    assert server.overlay("--apply").code == 0
    assert server.check("sshd -T | grep -i permitrootlogin").strip() == "permitrootlogin no"
    undo = server.overlay("--undo --lang en")
    assert undo.code == 0, undo.stderr
    assert "1 earlier ones are left" in undo.stdout
    assert server.look() == drifted

    refused = server.overlay("--undo")
    assert refused.code == 2
    assert "/etc/ssh/sshd_config" in refused.stderr
    assert server.look() == drifted
    assert server.overlay("--undo --keep /etc/ssh/sshd_config").code == 0
    assert "PermitRootLogin yes" in server.check("tail -n 1 /etc/ssh/sshd_config")
    assert server.run("test -e /etc/postfix/header_checks || test -e /var/lib/forja-overlay").code != 0


def test_a_hook_that_fails_leaves_nothing(server: Server) -> None:
    """Rules of the organisation's own that the overlay's firewall would replace."""
    server.check("SYSTEMD_OFFLINE=1 systemctl enable nftables.service")
    before = server.look()
    run = server.overlay("--apply")
    assert run.code == 5, run.stdout
    assert "nftables está habilitado" in run.stderr
    assert server.look() == before


@pytest.mark.parametrize("moment", ["put /etc/postfix/main.cf", "run [0-9]+-spf.sh"])
def test_a_power_cut_is_taken_back(server: Server, moment: str) -> None:
    before = server.look()
    server.check(
        f"""
        python3 {ARCHIVE} --apply > /dev/null 2>&1 & pid=$!
        until grep -qxE '{moment}' /var/lib/forja-overlay/0001/journal 2>/dev/null; do
            kill -0 $pid
        done
        kill -KILL $pid; wait $pid || true
        """
    )
    assert server.look() != before
    refused = server.overlay("--apply")
    assert refused.code == 2
    assert "--undo" in refused.stderr
    undo = server.overlay("--undo")
    assert undo.code == 0, undo.stderr
    assert server.look() == before


def test_what_is_not_there_is_asked_for(server: Server) -> None:
    server.check("userdel -r auditora 2>/dev/null; dpkg --remove --force-depends cabextract > /dev/null")
    before = server.look()
    check = server.overlay("--check")
    assert "pendiente: apt-get install cabextract" in check.stdout
    assert "auditora" in check.stdout
    run = server.overlay("--apply")
    assert run.code == 2
    assert run.stderr == "error: faltan paquetes; primero: apt-get install cabextract\n"
    assert server.look() == before


def test_another_system_is_refused(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "rhel.unsigned.pyz"
    assert forja("overlay", "clasificado", "--archive", "--unsigned", "--output", path).code == 0
    for verb in ("--check", "--apply"):
        other = Server(server.lower, server.folder, path).run(f"python3 /tmp/{path.name} {verb}")
        assert other.code == 2
        assert "Red Hat Enterprise Linux 8.3" in other.stderr
    here = subprocess.run(
        [sys.executable, server.archive, "--check"], capture_output=True, text=True, check=False
    )
    assert here.returncode == 2, "the laboratory's is for the laboratory only"


# --- With systemd ---------------------------------------------------------------------------------

BOOT = """
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc; mount -t sysfs -o ro sysfs sys; mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in dev run tmp; do mount -t tmpfs tmpfs $folder; done
for node in null zero full random urandom tty; do touch dev/$node; mount --bind /dev/$node dev/$node; done
mkdir dev/pts dev/shm; mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts; ln -s pts/ptmx dev/ptmx
ip link set lo up; cp "$3" run/
exec chroot . env -i container=forja PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 /lib/systemd/systemd
"""
SPACES = ["--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup"]
NO_AUDIT = """
mkdir -p /etc/systemd/system/auditd.service.d
printf '[Unit]\\nConditionVirtualization=!container\\n' > /etc/systemd/system/auditd.service.d/contenedor.conf
"""
"""The kernel's audit belongs to the machine, not to a container on it."""


@dataclass(frozen=True)
class Running:
    """A server whose systemd runs, in namespaces of its own."""

    pid: int

    def check(self, command: str, *codes: int) -> str:
        env = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]
        enter = ["nsenter", f"--target={self.pid}", *SPACES, "--root", "--wd"]
        argv = [*enter, *env, "sh", "-c", command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode in (codes or (0,)), done.stdout[-3000:] + done.stderr[-2000:]
        return done.stdout

    def services(self) -> set[str]:
        units = "systemctl list-units --plain --no-legend --no-pager --state=active,failed"
        lines = self.check(f"{units} --type=service,timer,mount,path").splitlines()
        return {line.split()[0] for line in lines if not line.startswith(("systemd-", "dev-", "proc-"))}


@pytest.fixture
def running(server: Server) -> Iterator[Running]:
    enter = ["unshare", *SPACES, "--fork", "--kill-child"]
    probe = [*enter, "mount", "-t", "cgroup2", "cgroup2", server.folder / "root"]
    if os.geteuid() != 0 or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("systemd in a container takes root, and cgroup v2")
    server.check(NO_AUDIT)
    argv = [*enter, "sh", "-ec", BOOT, "sh", str(server.lower), str(server.folder), str(server.archive)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as holder:
        try:
            deadline = time.monotonic() + 120
            children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
            while not children.read_text().strip():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            made = Running(int(children.read_text()))
            while "/systemd" not in Path(f"/proc/{made.pid}/cmdline").read_text():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            while made.check("systemctl is-system-running || true").strip() not in ("running", "degraded"):
                assert time.monotonic() < deadline
                time.sleep(0.5)
            yield made
        finally:
            holder.kill()


def test_services_of_a_server_that_runs(running: Running) -> None:
    before = running.services()
    assert {"postfix.service", "opendkim.service", "ssh.service"} <= before
    command = f"python3 /run/{Path(ARCHIVE).name}"
    said = running.check(f"{command} --apply --lang en", 5)
    assert "stop" not in said
    assert running.services() == before, "amavis runs: its account can't be changed, and nothing is"
    said = running.check(f"systemctl stop postfix amavis; {command} --apply --restart --lang en")
    assert "systemctl restart postfix.service" in said
    after = running.services()
    assert {"amavisd.service", "clamd@scan.service", "postfix@-.service", "saslauthd.service"} <= after
    assert "var-spool-postfix-lib64.mount" in after
    assert not running.check("systemctl --failed --no-legend --plain").strip()
    assert "220 " in running.check(
        "python3 -c \"import socket; s = socket.create_connection(('127.0.0.1', 10025)); print(s.recv(99))\""
    )
    running.check(f"{command} --undo --restart --lang en; systemctl start amavis")
    assert running.services() == before
    assert running.check("test -e /var/lib/forja-overlay || test -e /var/spool/postfix/lib64", 1) == ""
