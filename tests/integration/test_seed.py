"""One image, many servers: a closed image, its seeds, and the image that was built for that server.

Four boots: the closed image by itself (with the probe below, for it answers nobody), the server that a seed
makes of that copy, the same after somebody put another server's seed in, and the image that has the same
site's values from the kickstart.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builder.ask.site import EXAMPLE
from builder.make.findings import Outcome
from builder.make.seed import pack_seed, plan_server, read_image, write_seed
from builder.make.verification import look
from builder.make.verification.guest import BOOT_SECONDS, Guest, boot_guest
from builder.make.verification.throwaway import Throwaway, make_throwaway
from builder.pipeline import install_image, prepare_medium, settle_room
from builder.request import Request
from builder.room import Room, read_resolution
from builder.seeds import make_seeder
from builder.tools.cell import Cell, open_cell
from builder.tools.host import accelerator
from builder.tools.machine import Console, FirmwareKind, describe_machine
from builder.tools.memory import hold
from builder.tools.process import start
from builder.tools.small_iso import small_iso

from .conftest import BUILD, CACHE, Golden, forja

pytestmark = [pytest.mark.slow, pytest.mark.long]

OTHER_NAME = "relay2.ejemplo.es"
END = "FORJA prueba: fin"
PROBE = """
for bad in {bad}; do
    echo "$bad" | base64 -d | gzip -d > $root/root/semilla-$(echo "$bad" | cksum | cut -d ' ' -f 1).iso
done
cat > $root/usr/lib/systemd/system/forja-prueba.service <<'END'
[Unit]
After=multi-user.target
[Service]
Type=simple
ExecStart=/bin/sh /root/prueba
END
ln -s /usr/lib/systemd/system/forja-prueba.service $root/etc/systemd/system/multi-user.target.wants/
cat > $root/root/prueba <<'END'
[ ! -e /var/lib/forja/semilla ] || exit 0
# A login that ends hangs up all who write there.
systemctl mask --runtime --now serial-getty@ttyS0
exec > /dev/ttyS0 2>&1
look() {{
    echo "== $1"
    ls /var/lib/forja
    echo name $(uname -n)
    ip -oneline -4 address | sed 's/^[0-9]*: */address /'
    ss -Hltun | sed 's/^/listens /'
    for unit in {units}; do echo unit $unit $(systemctl is-active $unit); done
    # Postfix by its process: Debian's postfix.service is only a name for those that run.
    if pgrep -x master > /dev/null; then echo unit master active; else echo unit master inactive; fi
    cat /etc/issue.d/* | sed 's/^/issue /'
}}
look without
for bad in /root/semilla-*.iso; do
    drive=$(losetup -r -f --show $bad)
    systemctl restart forja-semilla
    look refused
    losetup -d $drive
    rm $bad
done
echo "{end}"
END
"""
"""Says on the serial port what a closed image shows nobody, and gives it seeds that it must refuse."""

LIST = """
cd /
find / \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var \\) -prune -o \
    -printf '%y %m %u:%g %p %l\\n' | sort
find /etc /home /root /usr/lib/forja /usr/libexec/forja /boot -type f -exec sha256sum {} + | sed 's/^/= /'
awk '{print $3 "  " $1}' /etc/fapolicyd/fapolicyd.trust | \
    sha256sum --check --quiet 2> /dev/null | sed 's/^/not trusted /'
for unit in $(systemctl list-unit-files --state=enabled --no-legend --no-pager | cut -d ' ' -f 1); do
    echo "enabled $unit"
done
"""

OWN = {
    r"/etc/(machine-id|ssh/ssh_host_.*)": "made by each machine",
    r"/etc/pki/tls/(private/forja-postfix\.key|certs/forja-postfix\.pem)": "made without [tls]",
    r"/etc/opendkim/(keys/forja\.private|registro-dns\.txt)": "made by each machine without [dkim] key",
    r"/(etc/fstab|etc/lvm/.*|boot/.*|etc/aliases\.db)": "identities of the file systems",
    r"/(etc/ld\.so\.cache|usr/lib/locale/.*|usr/share/mime/.*|etc/ssl/certs/.*)": "made by packages",
    r"/etc/(shadow|gshadow|passwd|group|subuid|subgid)-": "before the last change",
    r"/etc/systemd/system/.*/05-forja-semilla\.conf": "what waits for the seed",
    r"/etc/systemd/system/[^/]+\.(service|timer|path)\.d": "the folder of the line above",
    r"/etc/systemd/system-preset/00-forja\.preset|/usr/lib/forja/(entries\.tsv|platform\.env)": "name it",
    r"/etc/systemd/system/(sysinit\.target\.wants/)?forja-semilla\.service": "the overlay seed",
    r"/etc/fapolicyd/fapolicyd\.trust": "names files of this table; that it holds is in the list",
    r"/usr/lib/forja/(imagen|semilla\..*)|/usr/libexec/forja/semilla": "the overlay seed",
    r"/etc/issue\.d|/etc/forja": "where a closed image says that it is closed; where the key for seeds is",
    r"/home/[^/]+/\.ssh/authorized_keys": "compared below: of the copies each has a key of its own",
}
"""What may differ, and why."""


@pytest.fixture(scope="module")
def closed() -> Room:
    """The closed image: as `make image CLOSED=1` builds it, left unverified, for this file does that."""
    request = Request(profile="clasificado", closed=True, build=BUILD, cache=CACHE)
    room, server, original = settle_room(request)
    with hold(room.folder):
        prepare_medium(request, room, server, original)
        install_image(request, room)
    return room


@dataclass(frozen=True)
class Copy:
    """A throwaway copy of the closed image, in a cell that lives as long as these tests."""

    room: Room
    cell: Cell
    work: Path
    disk: Throwaway
    log: Path

    def seed(self, host: str | None = None) -> Throwaway:
        """Put a seed into the drive: the site's, or that of another host."""
        path = self.work / f"{host or 'site'}.iso"
        seeder = make_seeder(self.room, None)
        assert seeder is not None
        key = self.disk.key.with_suffix(".pub").read_text().strip()
        if host is None:
            return replace(self.disk, seed=seeder(key, path))
        image = read_image(self.room.plan, self.room.path("overlay"))
        server = plan_server(image, other_site(self.work, host))
        return replace(self.disk, seed=write_seed(image, server, path))


def other_site(folder: Path, host: str) -> Path:
    text = EXAMPLE.read_text(encoding="utf-8")
    path = folder / f"{host}.toml"
    path.write_text(text.replace("relay.ejemplo.es", host).replace("10.20.30.10/24", "10.20.30.11/24"))
    return path


@pytest.fixture(scope="module")
def copy(closed: Room) -> Iterator[Copy]:
    image = read_image(closed.plan, closed.path("overlay"))
    files = pack_seed(image, closed.server)
    damaged = {**files, "F001.DAT": files["F001.DAT"] + b"#"}
    other = pack_seed(replace(image, identity="0" * 64), closed.server)
    bad = [
        base64.b64encode(gzip.compress(small_iso("FORJA_SEMILLA", content), mtime=0)).decode()
        for content in (damaged, other)
    ]
    units = [closed.plan.platform.service(name) for name in ("sshd", "opendkim", "amavisd", "clamd@scan")]
    probe = PROBE.format(bad=" ".join(bad), units=" ".join(units), end=END)
    log = closed.logs / "seed.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="forja-") as folder, open_cell() as cell:
        work = Path(folder)
        disk = make_throwaway(
            closed.server, closed.path("image"), closed.path("medium"), work, cell, log=log, more=probe
        )
        yield Copy(closed, cell, work, disk, log)


@pytest.fixture(scope="module")
def without_seed(copy: Copy) -> str:
    """What the closed image's console shows: without a seed, and after seeds that it refused."""
    serial = copy.room.logs / "console-seed-none.log"
    serial.unlink(missing_ok=True)
    machine = describe_machine(FirmwareKind.BIOS, copy.work, serial)
    more = [
        *("-drive", f"file={copy.disk.disk},format=qcow2,if=virtio,cache=unsafe"),
        *("-nic", "user,model=virtio-net-pci,restrict=on", "-display", "none"),
    ]
    argv = copy.cell.inside(machine.argv(memory_mib=2048, cpus=2, more=more))
    console, seen = Console(serial), list[str]()
    deadline = time.monotonic() + BOOT_SECONDS[accelerator()]
    with start(argv, doing="boot it closed", log=copy.log, stdout_to_log=True, grace=0.0) as guest:
        while not any(END in line for line in seen):
            assert guest.running(), seen[-5:]
            assert time.monotonic() < deadline, seen[-5:]
            seen += console.lines()
            time.sleep(0.5)
    return "\n".join(seen)


@dataclass(frozen=True)
class Seeded:
    """The server that the seed made, and what was seen of it."""

    files: str
    findings: dict[str, Outcome]
    reasons: dict[str, str]
    keys: str
    door: str


@pytest.fixture(scope="module")
def seeded(copy: Copy, without_seed: str) -> Seeded:
    """The same copy with the site's seed in its drive; its controls of the seed are looked at as well."""
    with boot(copy, copy.seed(), "seed-site") as guest:
        guest.ssh(
            "rm -f /root/prueba /root/semilla-*.iso /usr/lib/systemd/system/forja-prueba.service"
            " /etc/systemd/system/multi-user.target.wants/forja-prueba.service",
            doing="take the probe away",
        )
        files = guest.ssh(LIST, doing="list its files").stdout
        keys = guest.ssh("cat /home/*/.ssh/authorized_keys", doing="read the keys").stdout
        findings = look(
            guest,
            read_resolution(copy.room.path("packages")),
            copy.work,
            xml=None,
            log=copy.log,
            files=["test_seed.py"],
        )
        guest.ssh("sync", doing="write all")
    with boot(copy, copy.seed(OTHER_NAME), "seed-other") as guest:
        door = guest.ssh(
            "journalctl -b -u forja-semilla -o cat --no-pager; cat /etc/issue.d/*; uname -n;"
            " systemctl is-active forja-semilla || :",
            doing="see what became of the other seed",
        ).stdout
    outcomes = {finding.test: finding.outcome for finding in findings}
    reasons = {finding.test: finding.reason.en for finding in findings if finding.reason}
    return Seeded(files, outcomes, reasons, keys, door)


def boot(copy: Copy, disk: Throwaway, name: str) -> contextlib.AbstractContextManager[Guest]:
    return boot_guest(
        copy.room.server,
        disk,
        copy.work,
        copy.cell,
        firmware=FirmwareKind.BIOS,
        serial=copy.room.logs / f"console-{name}.log",
        log=copy.log,
    )


def part(console: str, said: str, number: int = 0) -> str:
    return console.split(f"== {said}")[1 + number].split("==", maxsplit=1)[0]


def test_without_a_seed_only_the_console_answers(without_seed: str, closed: Room) -> None:
    state = part(without_seed, "without")
    assert "issue *** SERVIDOR CERRADO: no hay semilla" in state
    assert "name cerrado" in state
    addresses = re.findall(r"(?m)^address (\S+)", state)
    assert addresses == ["lo"], "it has an address"
    assert not re.findall(r"(?m)^listens", state), "something listens"
    units = dict(re.findall(r"(?m)^unit (\S+) (\S+)$", state))
    assert len(units) == 5
    assert set(units.values()) == {"inactive"}


def test_a_wrong_seed_leaves_it_closed(without_seed: str) -> None:
    refused = [part(without_seed, "refused", number) for number in (0, 1)]
    said = sorted(re.findall(r"issue \*\*\* SERVIDOR CERRADO\. Semilla rechazada: (.*?);", "".join(refused)))
    assert said == ["es para otra imagen", "está dañada"]
    for state in refused:
        assert "name cerrado" in state
        assert not re.search(r"(?m)^semilla", state)
        assert set(re.findall(r"(?m)^unit \S+ (\S+)$", state)) == {"inactive"}


def test_the_controls_of_the_seed_hold(seeded: Seeded) -> None:
    assert len(seeded.findings) >= 8
    assert {
        test: seeded.reasons.get(test) for test, how in seeded.findings.items() if how is not Outcome.PASSED
    } == {}


def test_another_seed_is_refused_and_said(seeded: Seeded) -> None:
    assert "RECHAZADA: este servidor ya tiene la suya" in seeded.door
    assert "*** Semilla rechazada: este servidor ya tiene la suya" in seeded.door
    assert "\nrelay.ejemplo.es\n" in seeded.door
    assert seeded.door.rstrip().endswith("failed"), "nobody would see it"


def test_the_seeded_server_is_the_one_that_was_built_for_it(seeded: Seeded, golden: Golden) -> None:
    room, log = golden.room, golden.room.logs / "seed.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="forja-") as folder, open_cell() as cell:
        work = Path(folder)
        copy = make_throwaway(room.plan, room.path("image"), room.path("medium"), work, cell, log=log)
        serial = room.logs / "console-seed-baked.log"
        with boot_guest(
            room.plan, copy, work, cell, firmware=FirmwareKind.BIOS, serial=serial, log=log
        ) as guest:
            baked = guest.ssh(LIST, doing="list its files").stdout
            keys = guest.ssh("cat /home/*/.ssh/authorized_keys", doing="read the keys").stdout
    assert len(baked.splitlines()) > 10000
    differs = set(baked.splitlines()) ^ set(seeded.files.splitlines())
    unexplained = sorted(line for line in differs if not explained(line))
    assert not unexplained, "\n".join(unexplained)
    assert peoples(keys) == peoples(seeded.keys) != []


def peoples(keys: str) -> list[str]:
    """Return the authorised keys that are no verification's."""
    return sorted(line for line in keys.splitlines() if "forja-verificacion" not in line)


def explained(line: str) -> bool:
    """Say whether a line of the list is of what may differ."""
    if line == "enabled forja-semilla.service":
        return True
    found = re.match(r"(?:= [0-9a-f]{64}  |\w \d+ \S+ )(/.*?)(?: .*)?$", line)
    return found is not None and any(re.fullmatch(pattern, found[1]) for pattern in OWN)


def test_a_seed_of_the_command_line_is_the_same_bytes(closed: Room, tmp_path: Path) -> None:
    """`forja seed`, as a person runs it; two at once, twice."""
    sites = [EXAMPLE, other_site(tmp_path, OTHER_NAME)]
    for name in ("one", "two"):
        run = forja("seed", closed.folder, *sites, "--output", tmp_path / name)
        assert run.code == 0, run.stderr
        assert [Path(line).name for line in run.stdout.split()] == [
            "relay.ejemplo.es.semilla.iso",
            f"{OTHER_NAME}.semilla.iso",
        ]
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
