"""The overlays base and firewall, rendered: what RHEL 8.3 would choke on, and what must not be forgotten."""

from __future__ import annotations

import os
import re
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rendered import lines, members, text, with_site

from builder.ask.plan import Plan, make_plan
from builder.make.overlay import Member

ROOT = Path(__file__).parents[2]


# --- Units ---------------------------------------------------------------------------------------


def test_preset_enables_what_is_named_and_disables_the_rest(plan: Plan, tree: dict[str, Member]) -> None:
    rules = lines(text(tree, plan, "/etc/systemd/system-preset/00-forja.preset"))
    assert rules[-1] == "disable *"
    assert "disable *" not in rules[:-1]
    enabled = {rule.removeprefix("enable ") for rule in rules[:-1]}
    units = {plan.platform.service(name) for name in plan.services}
    assert {unit if "." in unit else f"{unit}.service" for unit in units} <= enabled
    assert "getty@.service" in enabled
    # systemd 239 can't enable more than the default instance of a template by preset.
    assert not [rule for rule in rules if len(rule.split()) != 2]


def test_first_boot_is_ordered_and_required(plan: Plan, tree: dict[str, Member]) -> None:
    unit = text(tree, plan, "/etc/systemd/system/forja-primer-arranque.service")
    for name in ("sshd", "postfix"):
        service = f"{plan.platform.service(name)}.service"
        assert re.search(rf"^Before=.*\b{service}", unit, re.MULTILINE)
        assert re.search(rf"^RequiredBy=.*\b{service}", unit, re.MULTILINE)
    assert "ConditionPathExists=!/var/lib/forja/primer-arranque\n" in unit


# --- Logs ---------------------------------------------------------------------------


def test_no_log_is_rotated_twice(plan: Plan, tree: dict[str, Member]) -> None:
    """logrotate leaves a whole file out when it names a log that another names."""
    named = [
        word
        for path, member in tree.items()
        if path.startswith("/etc/logrotate.d/")
        for word in re.findall(r"^(?:/var/log/[^{]*)", (member.content or b"").decode(), re.MULTILINE)
        for word in word.split()
    ]
    assert len(named) > 5
    assert len(named) == len(set(named))


# --- Banners -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/etc/issue", "/etc/issue.net", "/etc/motd"])
def test_banners_have_no_escapes_nor_names_of_systems(path: str) -> None:
    plan = make_plan("clasificado", None, "rhel-8.3")
    banner = text(members(plan), plan, path)
    assert "\\" not in banner
    assert not re.search(r"rhel|fedora|sle|ubuntu", banner, re.IGNORECASE), (
        "scanners take it for a default banner"
    )


def test_the_laboratory_says_so_in_every_banner() -> None:
    plan = make_plan("clasificado", None, "laboratorio")
    assert plan.platform.mark is not None
    for path in ("/etc/issue", "/etc/issue.net", "/etc/motd"):
        assert plan.platform.mark.es in text(members(plan), plan, path)


# --- Firewall ------------------------------------------------------------------------------------


def test_zone_is_the_ports_and_networks_of_the_plan(tmp_path: Path) -> None:
    plan = with_site(
        tmp_path, ('networks = ["10.20.99.0/24"]', 'networks = ["10.20.99.0/24", "10.21.0.0/16"]')
    )
    zone = ET.fromstring(text(members(plan), plan, "/etc/firewalld/zones/drop.xml"))
    assert zone.get("target") == "DROP"
    opened = set()
    for rule in zone.findall("rule"):
        assert [child.tag for child in rule][-1] == "accept"
        assert rule.get("family") == "ipv4"
        source = rule.find("source")
        assert source is not None
        if (port := rule.find("port")) is not None:
            opened.add((source.get("address"), port.get("port"), port.get("protocol")))
    assert opened == {
        (str(network), str(port.port), port.protocol)
        for port in plan.ports
        for network in plan.networks(port)
    }
    assert {
        ("10.20.99.0/24", "22", "tcp"),
        ("10.21.0.0/16", "22", "tcp"),
        ("10.20.0.0/16", "25", "tcp"),
    } <= opened
    assert not [
        child.tag for child in zone if child.tag in ("service", "port", "protocol", "source", "interface")
    ]


@pytest.mark.parametrize("name", ["drop", "public", "trusted"])
def test_zones_are_xml_without_services(name: str, plan: Plan, tree: dict[str, Member]) -> None:
    zone = ET.fromstring(text(tree, plan, f"/etc/firewalld/zones/{name}.xml"))
    assert zone.tag == "zone"
    assert zone.findall("service") == []
    assert zone.get("target") == ("ACCEPT" if name == "trusted" else "DROP")


# --- First boot, run for real in a folder ----------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with what the first boot touches, and programs that it calls recorded where they need root."""
    for folder in ("etc/ssh", "boot/loader/entries", "var/lib", "usr/lib/forja/primer-arranque.d", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/lib/forja/platform.env").write_text("FORJA_PLATFORM=rhel-8.3\n")
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "etc/shadow").write_text(
        "root:!!:1:0:99999:7:::\nana:$6$a$b:1:2:45:10:::\nbin:*:1:0:99999:7:::\n"
    )
    old = "f" * 32
    for kernel in ("4.18.0-240.el8.x86_64", "0-rescue"):
        (tmp_path / f"boot/loader/entries/{old}-{kernel}.conf").write_text(f"title {kernel}\n")
    (tmp_path / "saved").write_text(f"saved_entry={old}-4.18.0-240.el8.x86_64\n")
    programs = {
        "chage": 'echo "chage $*" >> "$MACHINE/calls"',
        "restorecon": 'echo "restorecon $*" >> "$MACHINE/calls"',
        "grub2-editenv": 'case $2 in list) cat "$MACHINE/saved" ;; set) echo "$3" > "$MACHINE/saved" ;; esac',
    }
    for name, body in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def inside(machine: Path, overlay: str, name: str) -> str:
    """Return a script of an overlay that keeps to the folder."""
    script = (ROOT / "overlays" / overlay / "root" / name).read_text(encoding="utf-8")
    return re.sub(r"(?<![\w.}])/(etc|boot|var|usr/lib)/", rf"{machine}/\1/", script)


def first_boot(machine: Path) -> subprocess.CompletedProcess[str]:
    script = inside(machine, "base", "usr/libexec/forja/primer-arranque")
    env = {**os.environ, "MACHINE": str(machine), "PATH": f"{machine}/bin:{os.environ['PATH']}"}
    return subprocess.run(["/bin/sh"], input=script, text=True, capture_output=True, env=env, check=False)


def test_first_boot_makes_keys_dates_passwords_and_names_entries(machine: Path) -> None:
    step = "usr/lib/forja/primer-arranque.d/10-entradas-de-arranque"
    (machine / step).write_text(inside(machine, "boot", step))
    (machine / "usr/lib/forja/primer-arranque.d/20-uno").write_text('echo uno >> "$MACHINE/calls"\n')
    result = first_boot(machine)
    assert result.returncode == 0, result.stderr
    keys = {path.name: path.stat().st_mode & 0o777 for path in (machine / "etc/ssh").iterdir()}
    assert keys == {
        "ssh_host_ed25519_key": 0o600,
        "ssh_host_ed25519_key.pub": 0o644,
        "ssh_host_ecdsa_key": 0o600,
        "ssh_host_ecdsa_key.pub": 0o644,
    }
    calls = (machine / "calls").read_text().splitlines()
    assert calls == [
        f"restorecon -RF {machine}/etc/ssh",
        f"chage --lastday {int(time.time()) // 86400} ana",
        "uno",
    ]
    own = "0123456789abcdef0123456789abcdef"
    assert {path.name for path in (machine / "boot/loader/entries").iterdir()} == {
        f"{own}-4.18.0-240.el8.x86_64.conf",
        f"{own}-0-rescue.conf",
    }
    assert (machine / "saved").read_text() == f"saved_entry={own}-4.18.0-240.el8.x86_64\n"
    assert (machine / "var/lib/forja/primer-arranque").exists()


def test_first_boot_again_keeps_keys(machine: Path) -> None:
    assert first_boot(machine).returncode == 0
    before = (machine / "etc/ssh/ssh_host_ecdsa_key").read_bytes()
    assert first_boot(machine).returncode == 0
    assert (machine / "etc/ssh/ssh_host_ecdsa_key").read_bytes() == before


def test_first_boot_replaces_a_key_that_a_power_cut_left_empty(machine: Path) -> None:
    (machine / "etc/ssh/ssh_host_ed25519_key").touch()
    assert first_boot(machine).returncode == 0
    assert (machine / "etc/ssh/ssh_host_ed25519_key").stat().st_size > 0


def test_first_boot_with_a_clock_that_is_behind_dates_from_the_installation(machine: Path) -> None:
    ahead = int(time.time()) + 400 * 86400
    os.utime(machine / "etc/shadow", (ahead, ahead))
    result = first_boot(machine)
    assert result.returncode == 0
    assert f"chage --lastday {ahead // 86400} ana" in (machine / "calls").read_text()
    assert "reloj" in result.stderr


def test_first_boot_that_fails_says_so_and_is_not_done(machine: Path) -> None:
    (machine / "usr/lib/forja/primer-arranque.d/10-mal").write_text("exit 7\n")
    result = first_boot(machine)
    assert result.returncode == 7
    assert "ERROR" in result.stdout
    assert not (machine / "var/lib/forja/primer-arranque").exists()
