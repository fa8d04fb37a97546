"""Boot loader, network, accounts and services, as far as they are text."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.lab.installer import accounts, bootloader, console, network, settings, source
from builder.lab.installer.kickstart import Kickstart, read_kickstart
from builder.lab.installer.layout import Group, Request
from builder.lab.installer.program import InstallError
from builder.lab.installer.storage import Filesystem, Plan

HASH = "grub.pbkdf2.sha512.10000." + "AB" * 64 + "." + "CD" * 64


def _read(folder: Path, text: str) -> Kickstart:
    path = folder / "ks.cfg"
    path.write_text(text, encoding="utf-8")
    return read_kickstart(path)


def test_kernel_arguments_are_anacondas_with_the_serial_console() -> None:
    requests = (Request("/", "xfs", 1, name="root"), Request("swap", "swap", 1, name="swap"))
    plan = Plan(("vda",), (), (Group("rhel", ("pv.01",), requests),))
    filesystems = [
        Filesystem("/", "xfs", "d", "/dev/mapper/rhel-root", "defaults"),
        Filesystem("swap", "swap", "d", "/dev/mapper/rhel-swap", "defaults"),
    ]
    words = bootloader.kernel_arguments(
        filesystems, plan, "audit=1", "quiet console=tty0 console=ttyS0,115200"
    )
    assert words == (
        "root=/dev/mapper/rhel-root ro rd.lvm.lv=rhel/root rd.lvm.lv=rhel/swap "
        "resume=/dev/mapper/rhel-swap audit=1 console=ttyS0,115200"
    )
    assert "console" not in bootloader.kernel_arguments(filesystems, plan, "", "console=ttyS0 console=tty0")


def test_grub_asks_the_password_for_editing_but_not_for_booting() -> None:
    text = bootloader.grub_config("u-u-i-d", "", "6.1.0", "root=x", 2, "ttyS0,115200n8")
    assert text.index("source ${prefix}/user.cfg") < text.index("menuentry")
    assert "password_pbkdf2 root ${GRUB2_PASSWORD}" in text
    assert "--unrestricted" in text
    assert "serial --unit=0 --speed=115200\n" in text
    assert "linux /vmlinuz-6.1.0 root=x" in text


@pytest.mark.parametrize(
    "line", [f"--password={HASH}", "--iscrypted --password=$6$a$b", "--password=secreto"]
)
def test_a_boot_loader_password_must_be_a_pbkdf2_hash(tmp_path: Path, line: str) -> None:
    with pytest.raises(InstallError, match="pbkdf2"):
        bootloader.check_bootloader(_read(tmp_path, f"bootloader {line}\n").data)
    bootloader.check_bootloader(_read(tmp_path, f"bootloader --iscrypted --password={HASH}\n").data)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user --name=ana --password=secreto\n", "user ana"),
        ("user --name=ana --iscrypted --password=$1$ab$cd\n", "user ana"),
        ('sshkey --username=otra "ssh-ed25519 AAAA"\n', "no user 'otra'"),
        ("rootpw --iscrypted secreto\n", "rootpw"),
    ],
)
def test_passwords_in_clear_and_keys_of_nobody_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InstallError, match=said):
        accounts.check_accounts(_read(tmp_path, text))


def test_static_addresses_become_a_networkd_file(tmp_path: Path) -> None:
    words = "--bootproto=static --device=ens3 --ip=192.0.2.5 --netmask=255.255.255.0 --gateway=192.0.2.1"
    kickstart = _read(tmp_path, f"network {words} --nameserver=192.0.2.2,192.0.2.3 --noipv6\n")
    network.check_network(kickstart)
    text = network.networkd_file(kickstart.data.network.network[0], "ens3", "52:54:00:00:00:01")
    assert "[Match]\nName=ens3\n" in text
    assert "Address=192.0.2.5/24\nGateway=192.0.2.1\nDNS=192.0.2.2\nDNS=192.0.2.3\n" in text
    assert "LinkLocalAddressing=no" in text
    assert "DHCP=no" in text


def test_a_wrong_address_is_refused(tmp_path: Path) -> None:
    text = "network --bootproto=static --device=ens3 --ip=192.0.2.555 --netmask=255.255.255.0\n"
    with pytest.raises(InstallError, match=r"192\.0\.2\.555"):
        network.check_network(_read(tmp_path, text))


def test_units_follow_the_kickstart_and_else_rhels_presets(tmp_path: Path) -> None:
    units = tmp_path / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for name in ("ssh", "chrony", "postfix", "rpcbind"):
        (units / f"{name}.service").touch()
    (tmp_path / "etc/init.d").mkdir(parents=True)
    (tmp_path / "etc/init.d/saslauthd").touch()
    mapping = {name: name for name in ("postfix", "rpcbind", "saslauthd")} | {
        "sshd": "ssh",
        "chronyd": "chrony",
    }
    kickstart = _read(
        tmp_path, "services --enabled=postfix,saslauthd.service --disabled=sshd,kdump,nothing\n"
    )
    states, notes = settings.select_services(kickstart, mapping, {"kdump": "no hay"}, tmp_path)
    assert states == {"ssh": False, "chrony": True, "postfix": True, "rpcbind": False, "saslauthd": True}
    assert [note.what for note in notes] == ["services kdump"]
    with pytest.raises(InstallError, match="--enabled=clamd"):
        settings.select_services(_read(tmp_path, "services --enabled=clamd\n"), mapping, {}, tmp_path)


@pytest.mark.parametrize(
    ("value", "device", "path"),
    [
        (
            "hd:LABEL=FORJA-LABORATORIO-8-3-x86_64:/forja/ks.cfg",
            "LABEL=FORJA-LABORATORIO-8-3-x86_64",
            "/forja/ks.cfg",
        ),
        (r"hd:LABEL=MY\x20KS", "LABEL=MY KS", "/ks.cfg"),
        ("hd:/dev/sdb:/ks.cfg", "/dev/sdb", "/ks.cfg"),
        ("hd:sdb1:/a", "/dev/sdb1", "/a"),
        ("cdrom:/a/ks.cfg", "", "/a/ks.cfg"),
        ("cdrom", "", "/ks.cfg"),
        ("file:/ks.cfg", "/", "/ks.cfg"),
    ],
)
def test_where_the_kickstart_is(value: str, device: str, path: str) -> None:
    assert source.parse_source(value) == source.KickstartSource(device, path)


def test_a_kickstart_on_the_network_is_refused() -> None:
    with pytest.raises(InstallError, match="hd:, cdrom: and file:"):
        source.parse_source("http://192.0.2.1/ks.cfg")


def test_the_last_of_repeated_arguments_counts() -> None:
    cmdline = "inst.ks=cdrom:/a quiet inst.ks=cdrom:/b rd.live.check inst.sshd inst.text"
    assert source.argument(cmdline, "inst.ks") == "cdrom:/b"
    assert source.argument(cmdline, "inst.stage2") == ""
    assert source.unknown_arguments(cmdline) == ["rd.live.check", "inst.sshd"]


def test_the_serial_port_gets_each_line_once() -> None:
    assert console.consoles("tty0 ttyS0\n") == ["/dev/console"]
    assert console.consoles("ttyS0 tty0\n") == ["/dev/console", "/dev/ttyS0"]
