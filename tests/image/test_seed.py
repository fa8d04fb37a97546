"""A closed image after its seed: what waited for it, what it left, and what the door does with other seeds.

The other seeds are made here of nothing but their table and sums, and shown to the image's own program as
loop devices, in a mount namespace whose state is thrown away.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from typing import Any

import pytest
from facts import ask

from builder.ask.plan import Plan
from builder.tools.small_iso import small_iso

PROGRAM = "/usr/libexec/forja/semilla"
ALONE = (
    "mount -t tmpfs -o mode=0700 tmpfs /var/lib/forja; mkdir -p /etc/issue.d;"
    " mount -t tmpfs tmpfs /etc/issue.d; for d in /dev/sr*; do mount --bind /dev/null $d; done"
)
"""State of its own, and no other CD: the one that made the server may still be in its drive."""
CASES = ("whole", "damaged", "other-image", "brings-a-program", "unsigned")


def other_seeds(identity: str) -> dict[str, bytes]:
    """Return seeds that must not be taken, by what is wrong with them; `whole` is right but for its age."""

    def seed(image: str, path: str = "/etc/hostname", *, damaged: bool = False) -> bytes:
        table = f"formato 1\nimagen {image}\nservidor otro.ejemplo.es\n0644\troot:root\tf001.dat\t{path}\n"
        files = {"F001.DAT": b"otro.ejemplo.es\n", "SEMILLA.TXT": table.encode()}
        sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name.lower()}\n" for name in files)
        if damaged:
            files["F001.DAT"] = b"0tro.ejemplo.es\n"
        return small_iso("FORJA_SEMILLA", {**files, "SUMAS.TXT": sums.encode()})

    return {
        "whole": seed(identity),
        "damaged": seed(identity, damaged=True),
        "other-image": seed("0" * 64),
        "brings-a-program": seed(identity, "/usr/bin/mail"),
        "unsigned": seed(identity),
    }


@pytest.fixture(scope="module")
def facts(plan: Plan, host: Any) -> dict[str, str]:
    identity = host.run("cat /usr/lib/forja/imagen").stdout.strip()
    network = plan.platform.service("NetworkManager")
    questions = {
        "waiting": ". /usr/lib/forja/semilla.env; for f in $FORJA_WAITING; do echo ${f##*/}; done",
        "conditions": ". /usr/lib/forja/semilla.env; for f in $FORJA_WAITING; do u=${f##*/};"
        " echo ${u%.d} $(systemctl cat ${u%.d} | grep -cx 'Cond.*=/var/lib/forja/semilla'); done",
        "sockets": "ss -Hltnp",
        "mark": "stat -c '%a %U:%G' /var/lib/forja/semilla; cat /var/lib/forja/semilla",
        "name": "uname -n",
        "first": "systemctl show -p InactiveExitTimestampMonotonic -p Result -p ActiveState forja-semilla",
        "network": f"systemctl show -p InactiveExitTimestampMonotonic {network}",
        "abrir": f"{PROGRAM} --abrir; echo rc=$?; ls /var/lib/forja",
        "left": "ls -d /run/forja-semilla; findmnt -t iso9660; find / -xdev -name '*.semilla';"
        " find /var/lib/forja -name 'semilla*' -printf '%f %m %u:%g\\n'",
        "drives": "stat -c '%a %G' /dev/sr*; getent group cdrom",
    }
    for name, content in other_seeds(identity).items():
        packed = base64.b64encode(gzip.compress(content, mtime=0)).decode()
        mark = "echo 0 2026-01-01T00:00:00Z x > /var/lib/forja/semilla;" if name == "whole" else ""
        key = (
            "mkdir -p /etc/forja; mount -t tmpfs tmpfs /etc/forja;"
            " openssl ecparam -name secp384r1 -genkey -noout"
            " | openssl ec -pubout -out /etc/forja/semilla.pem 2> /dev/null;"
        )
        # Without the organisation's key nobody's signature is asked for: here is one.
        key = key if name == "unsigned" else "[ ! -e /etc/forja ] || mount -t tmpfs tmpfs /etc/forja;"
        questions[name] = (
            f"echo {packed} | base64 -d | gzip -d > /root/otra.iso; d=$(losetup -r -f --show /root/otra.iso);"
            f" unshare -m sh -c '{ALONE}; {mark} {key} {PROGRAM}; echo rc=$?; cat /etc/issue.d/*;"
            " ls /var/lib/forja'; losetup -d $d; rm /root/otra.iso; uname -n"
        )
    return ask(host, questions)


@pytest.mark.control("RHEL-SEED-01")
def test_what_speaks_waits_for_the_seed(facts: dict[str, str], plan: Plan, seen: Any) -> None:
    """That nothing of it starts without one is seen where a closed image boots (tests/integration)."""
    conditions = dict(line.split() for line in facts["conditions"].splitlines())
    seen(f"{len(conditions)} unidades esperan a la semilla / units wait for the seed: {' '.join(conditions)}")
    assert set(conditions.values()) == {"1"}
    always = {"auditd", "crond", "fapolicyd", "firewalld", "forja-semilla", "rsyslog", "usbguard"}
    assert len(conditions) == len(set(plan.services) - always)
    waiting = {name.split("@")[0].split(".")[0] for name in conditions}
    for service in (
        "sshd",
        "postfix",
        "NetworkManager",
        "forja-primer-arranque",
        "amavisd",
        "clamd",
        "opendkim",
    ):
        assert plan.platform.service(service) in waiting, service


@pytest.mark.control("RHEL-SEED-02")
def test_it_was_applied_once_before_the_network(facts: dict[str, str], plan: Plan, seen: Any) -> None:
    status, line = facts["mark"].splitlines()
    seen(facts["mark"])
    assert status == "600 root:root"
    assert re.fullmatch(rf"[0-9a-f]{{64}} \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ {plan.site.host.name}", line)
    assert facts["name"] == plan.site.host.name
    first = dict(line.split("=", 1) for line in facts["first"].splitlines())
    network = dict(line.split("=", 1) for line in facts["network"].splitlines())
    assert (first["Result"], first["ActiveState"]) == ("success", "active")
    began = "InactiveExitTimestampMonotonic"
    assert 0 < int(first[began]) < int(network[began])


@pytest.mark.control("RHEL-SEED-03")
@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("damaged", "está dañada"),
        ("other-image", "es para otra imagen"),
        ("brings-a-program", "trae algo que no es de un servidor"),
        ("unsigned", "no la firma la organización"),
    ],
)
def test_a_wrong_seed_is_refused(case: str, said: str, facts: dict[str, str], plan: Plan, seen: Any) -> None:
    seen(facts[case].splitlines()[0])
    assert f"RECHAZADA: {said}" in facts[case]
    assert "rc=1" in facts[case].splitlines()
    assert f"*** SERVIDOR CERRADO. Semilla rechazada: {said}" in facts[case]
    assert facts[case].splitlines()[-1] == plan.site.host.name
    assert "semilla.lista" not in facts[case]


@pytest.mark.control("RHEL-SEED-04")
def test_the_door_is_shut(facts: dict[str, str], plan: Plan, seen: Any) -> None:
    seen(facts["whole"].splitlines()[0])
    assert "RECHAZADA: este servidor ya tiene la suya" in facts["whole"]
    assert facts["whole"].splitlines()[-1] == plan.site.host.name
    seen(facts["abrir"].splitlines()[0])
    assert "ERROR: solo en la consola del servidor, no por SSH" in facts["abrir"]
    assert "rc=1" in facts["abrir"]
    assert "semilla.abierta" not in facts["abrir"]


@pytest.mark.control("RHEL-SEED-05")
def test_nothing_of_it_is_left(facts: dict[str, str], seen: Any) -> None:
    """The files themselves have owners and modes, as all files of overlays: other controls see to that."""
    left = [line for line in facts["left"].splitlines() if "cannot access" not in line]
    seen(left)
    assert sorted(left) == ["semilla 600 root:root", "semilla.lista 600 root:root"]
    drives = facts["drives"].splitlines()
    seen(drives)
    assert all(re.match(r"660 cdrom$|cdrom:[^:]*:\d+:$", line) for line in drives), "people may read the CD"
    assert any(line.startswith("cdrom:") for line in drives)
