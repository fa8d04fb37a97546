"""The definition for libvirt: valid by libvirt's schema, and libvirt starts a machine of it, from the image.

A libvirt of the tests' own, in a session without privilege; as its user, `nobody`, where the tests are root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import textwrap
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.ask.plan import make_plan
from builder.ask.platform import platform_names
from builder.ask.profile import profile_names
from builder.make.domain import write_domain
from builder.tools.process import find_program

from .conftest import REPOSITORY, Golden

GUIDES = {
    page: (REPOSITORY / "docs" / page).read_text("utf-8") for page in ("how-to/kvm.md", "operador/kvm.md")
}
IMAGE = "clasificado-laboratorio"
PATIENCE_SECONDS = 900
"""Never a measure of speed: without KVM, a machine is at its kernel's first line after a minute."""


@dataclass(frozen=True)
class Session:
    """A libvirt for this module alone; `folder` stands for /var/lib/libvirt/images."""

    folder: Path
    user: str | None

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a program as the user of the session."""
        group = pwd.getpwnam(self.user).pw_gid if self.user else None
        return subprocess.Popen(
            argv,
            cwd=self.folder,
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL": "C.UTF-8",
                "HOME": str(self.folder),
                "XDG_RUNTIME_DIR": str(self.folder / "run"),
            },
            user=self.user,
            group=group,
            extra_groups=[] if self.user else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def virsh(self, *words: str, code: int = 0) -> str:
        """Run virsh, and return what it said."""
        with self.start("virsh", "--quiet", "-c", "qemu:///session", *words) as program:
            said, _ = program.communicate(timeout=PATIENCE_SECONDS)
        assert program.returncode == code, f"virsh {' '.join(words)}: {said}"
        return said

    def define(self, name: str, *changes: tuple[str, str]) -> None:
        """Do what docs/how-to/kvm.md says, for a host without KVM and a network of this user's own.

        Args:
            changes: further ones, as patterns and what stands there then.
        """
        text = (self.folder / f"{IMAGE}.libvirt.xml").read_text(encoding="utf-8")
        for old, new in (
            (IMAGE, name),
            ("/var/lib/libvirt/images", str(self.folder)),
            ('<domain type="kvm">', '<domain type="qemu">'),
            ('<interface type="network">\n      <source network="forja"/>', '<interface type="user">'),
        ):
            assert old in text, old
            text = text.replace(old, new)
        for pattern, instead in changes:
            text, count = re.subn(pattern, instead, text, flags=re.DOTALL)
            assert count, pattern
        path = self.folder / f"{name}.xml"
        path.write_text(text, encoding="utf-8")
        self.virsh("define", "--validate", str(path))

    def adopt(self, path: Path) -> None:
        if self.user:
            shutil.chown(path, self.user)

    @contextlib.contextmanager
    def running(self, name: str, *how: str) -> Iterator[ET.Element]:
        """Start a machine, and give its definition as libvirt has completed it."""
        try:
            self.virsh("start", name, *how)
            yield ET.fromstring(self.virsh("dumpxml", name))
        finally:
            self.virsh("destroy", name)

    def seed_of(self, name: str) -> str:
        """Return what lies in the drive of a machine."""
        return self.virsh("domblklist", name).splitlines()[-1].split()[-1]


@pytest.fixture(scope="module")
def libvirt() -> Iterator[Session]:
    """A libvirt of our own, ended with all that it runs."""
    # Not pytest's folder: a socket's path may have 108 bytes, and that one is closed to others.
    with tempfile.TemporaryDirectory(prefix="forja-", dir="/tmp") as place:
        session = Session(Path(place), "nobody" if os.geteuid() == 0 else None)
        (session.folder / "run").mkdir()
        config = session.folder / ".config" / "libvirt"
        config.mkdir(parents=True)
        (config / "qemu.conf").write_text('stdio_handler = "file"\n')  # else a virtlogd is left behind
        write_domain(make_plan("clasificado", None, "laboratorio"), session.folder / f"{IMAGE}.libvirt.xml")
        for path in (session.folder, *session.folder.rglob("*")):
            session.adopt(path)
        daemon = session.start(str(find_program("libvirtd")))
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not (session.folder / "run" / "libvirt" / "libvirt-sock").exists():
                assert daemon.poll() is None, daemon.stdout and daemon.stdout.read()
                assert time.monotonic() < deadline
                time.sleep(0.2)
            yield session
        finally:
            daemon.terminate()
            daemon.communicate(timeout=60)


@pytest.fixture(scope="module")
def server(libvirt: Session) -> str:
    """A machine of the definition with a name of its own, and an empty disk."""
    name = "relay.ejemplo.es"
    disk = libvirt.folder / f"{name}.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1G"], check=True)
    libvirt.adopt(disk)
    libvirt.define(name)
    return name


@pytest.mark.parametrize("platform", platform_names())
@pytest.mark.parametrize("profile", profile_names())
def test_it_is_valid_by_libvirts_own_schema(profile: str, platform: str, tmp_path: Path) -> None:
    path = write_domain(make_plan(profile, None, platform), tmp_path / "domain.xml")
    validate = ["virt-xml-validate", path, "domain"]
    done = subprocess.run(validate, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    path.write_text(path.read_text().replace('model="tpm-crb"', 'model="nonesuch"'))
    assert subprocess.run(validate, capture_output=True, check=False).returncode != 0


def test_the_laboratory_is_not_called_rhel(tmp_path: Path) -> None:
    said = {}
    for platform in platform_names():
        plan = make_plan("clasificado", None, platform)
        said[platform] = write_domain(plan, tmp_path / "domain.xml").read_text(encoding="utf-8")
    assert "http://redhat.com/rhel/8.3" in said["rhel-8.3"]
    assert "LABORATORIO" in said["laboratorio"]
    assert "redhat" not in said["laboratorio"]
    assert "LABORATORIO" not in said["rhel-8.3"]


def test_a_machine_has_what_a_server_needs_and_nothing_else(libvirt: Session, server: str) -> None:
    with libvirt.running(server, "--paused") as machine:
        loader = machine.find("os/loader")
        assert loader is not None
        assert loader.get("secure") == "yes"
        assert machine.findtext("os/nvram", "").endswith(f"{server}_VARS.fd")
        assert machine.find("devices/tpm/backend[@version='2.0']") is not None
        assert {node.get("type") for node in machine.findall("devices/controller")} == {"usb", "sata", "pci"}
        assert machine.find("devices/controller[@type='usb'][@model='none']") is not None
        models = {"disk": "virtio", "interface": "virtio", "rng": "virtio", "memballoon": "none"}
        for device, model in models.items():
            node = machine.find(f"devices/{device}/target" if device == "disk" else f"devices/{device}")
            assert node is not None, device
            inner = node.find("model") if device == "interface" else node
            assert inner is not None, device
            assert (inner.get("bus") or inner.get("model") or inner.get("type")) == model, device
        assert not [
            device
            for device in ("graphics", "video", "sound", "hostdev", "redirdev", "filesystem", "channel")
            if machine.find(f"devices/{device}") is not None
        ]


def test_the_seed_is_in_the_drive_when_it_is_there(libvirt: Session, server: str) -> None:
    seed = libvirt.folder / f"{server}.semilla.iso"
    seed.write_bytes(bytes(2048 * 64))
    libvirt.adopt(seed)
    with libvirt.running(server, "--paused"):
        assert libvirt.seed_of(server) == str(seed)
    seed.unlink()
    with libvirt.running(server, "--paused"):
        assert libvirt.seed_of(server) == "-"


def test_another_name_is_another_server(libvirt: Session, server: str) -> None:
    libvirt.define("otro")
    first, other = (ET.fromstring(libvirt.virsh("dumpxml", name)) for name in (server, "otro"))
    for path, attribute in (("devices/interface/mac", "address"), ("devices/disk/source", "file")):
        values = [node.get(attribute) for root in (first, other) for node in root.findall(path)[:1]]
        assert len(set(values)) == 2, values
    assert first.findtext("uuid") != other.findtext("uuid")
    assert IMAGE not in ET.tostring(other, encoding="unicode")


WISHES = {
    "BIOS": ((' firmware="efi"', ""), ("<firmware>.*</firmware>", "")),
    "UEFI without secure boot": (('enabled="yes" name', 'enabled="no" name'),),
    "no TPM": (("<tpm .*</tpm>", ""),),
}


@pytest.mark.parametrize("wish", WISHES)
def test_the_guides_other_wishes_start(wish: str, libvirt: Session) -> None:
    assert f"**{wish}**" in GUIDES["how-to/kvm.md"]
    name = f"deseo{list(WISHES).index(wish)}"
    disk = libvirt.folder / f"{name}.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1G"], check=True)
    libvirt.adopt(disk)
    libvirt.define(name, *WISHES[wish])
    with libvirt.running(name, "--paused") as machine:
        loader = machine.find("os/loader")
        assert (loader is None) == (wish == "BIOS")
        assert loader is None or (loader.get("secure") == "yes") == (wish == "no TPM")
        assert (machine.find("devices/tpm") is None) == (wish == "no TPM")


@pytest.mark.parametrize("page", GUIDES)
def test_a_guides_network_is_valid_and_the_definitions(page: str, tmp_path: Path) -> None:
    text = re.search(r"(?s)<<(END|FIN)\n(.*?)\n *\1\n", GUIDES[page])
    assert text is not None
    path = tmp_path / "network.xml"
    path.write_text(textwrap.dedent(text[2]))
    subprocess.run(["virt-xml-validate", path, "network"], check=True, capture_output=True)
    name = ET.parse(path).getroot().findtext("name")
    definition = write_domain(make_plan("clasificado", None, "rhel-8.3"), tmp_path / "domain.xml")
    assert f'<source network="{name}"/>' in definition.read_text()


@pytest.mark.slow
def test_the_image_starts_under_secure_boot(golden: Golden, libvirt: Session) -> None:
    disk = libvirt.folder / "arranque.qcow2"
    shutil.copyfile(golden.room.path("image"), disk)
    written = libvirt.folder / f"{IMAGE}.libvirt.xml"
    assert golden.room.path("domain").read_text() == written.read_text()
    libvirt.adopt(disk)
    libvirt.define("arranque")
    with libvirt.running("arranque"):
        said = read_console(
            Path(libvirt.virsh("ttyconsole", "arranque").strip()), rb"secureboot: Secure boot (\w+)"
        )
    assert said == b"enabled"


def read_console(terminal: Path, pattern: bytes) -> bytes:
    """Read a machine's console until it shows a pattern, and return its group."""
    handle, said = os.open(terminal, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK), b""
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                said += os.read(handle, 65536)
            if found := re.search(pattern, said):
                return found[1]
            time.sleep(0.2)
    finally:
        os.close(handle)
    raise AssertionError(f"no {pattern!r} in {PATIENCE_SECONDS} s; the console: {said[-2000:]!r}")
