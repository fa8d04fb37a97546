"""The network of the installed system: a systemd-networkd file for each device of the kickstart."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

from .check import options_of
from .kickstart import Kickstart
from .program import SYSROOT, InstallError, write_file

NET = Path("/sys/class/net")


def resolve_device(word: str) -> tuple[str, str]:
    """Return name and MAC address of the device that ``--device`` means: a name, a MAC or ``link``.

    Raises:
        InstallError: there is none.
    """
    devices = {
        path.name: (path / "address").read_text().strip()
        for path in sorted(NET.iterdir())
        if (path / "device").exists()
    }
    if word in devices:
        return word, devices[word]
    if re.fullmatch(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", word):
        for name, mac in devices.items():
            if mac == word.lower():
                return name, mac
    elif word in ("", "link"):
        # The first with a cable in it; a device that is down does not tell, and then the first will do.
        up = [name for name in devices if _has_link(name)]
        if up or devices:
            name = (up or list(devices))[0]
            return name, devices[name]
    raise InstallError(
        f"network --device={word}: this machine has {', '.join(devices) or 'no network device'}"
    )


def _has_link(name: str) -> bool:
    try:
        return (NET / name / "carrier").read_text().strip() == "1"
    except OSError:
        return False


def check_network(kickstart: Kickstart) -> None:
    """Check addresses before anything is written.

    Raises:
        InstallError: a value that is no address, or a static set-up without one.
    """
    for net in kickstart.data.network.network:
        try:
            if net.bootProto == "static" and net.device:
                ipaddress.IPv4Interface(f"{net.ip}/{net.netmask}")
            for address in (net.gateway, *_nameservers(net)):
                if address:
                    ipaddress.ip_address(address)
        except ValueError as error:
            raise InstallError(f"network (line {net.lineno}): {error}") from error


def networkd_file(net: Any, name: str, mac: str) -> str:
    """Return the .network file (systemd.network(5)) for a ``network`` command."""
    match = f"MACAddress={mac}" if net.bindto == "mac" else f"Name={name}"
    lines = ["[Match]", match, "", "[Link]", f"ActivationPolicy={'up' if net.onboot else 'manual'}"]
    if net.mtu:
        lines.append(f"MTUBytes={net.mtu}")
    lines += [f"RequiredForOnline={'yes' if net.onboot else 'no'}", "", "[Network]"]
    static = net.bootProto == "static" and not net.noipv4
    dhcp = not static and not net.noipv4
    lines.append(f"DHCP={'ipv4' if dhcp else 'no'}")
    if static:
        lines.append(f"Address={ipaddress.IPv4Interface(f'{net.ip}/{net.netmask}').with_prefixlen}")
        if net.gateway and not net.nodefroute:
            lines.append(f"Gateway={net.gateway}")
    lines += [f"DNS={address}" for address in _nameservers(net)]
    if net.noipv6:
        lines += ["LinkLocalAddressing=no", "IPv6AcceptRA=no"]
    if dhcp and (net.nodefroute or net.nodns):
        lines += ["", "[DHCPv4]"]
        lines += ["UseGateway=no"] if net.nodefroute else []
        lines += ["UseDNS=no"] if net.nodns else []
    return "\n".join(lines) + "\n"


def configure_network(kickstart: Kickstart) -> list[str]:
    """Write host name, device files and resolv.conf; return the devices that were configured."""
    configured = []
    servers: list[str] = []
    for net in kickstart.data.network.network:
        if net.hostname:
            write_file(SYSROOT / "etc/hostname", f"{net.hostname}\n")
        servers += [address for address in _nameservers(net) if address not in servers]
        line = kickstart.line("network", net)
        if all(option in ("hostname", "nameserver") for option, _ in options_of(line.words[1:])):
            continue  # "network --hostname=..." alone sets the name only
        name, mac = resolve_device(net.device)
        write_file(SYSROOT / f"etc/systemd/network/10-{name}.network", networkd_file(net, name, mac))
        configured.append(name)
    write_file(SYSROOT / "etc/resolv.conf", "".join(f"nameserver {address}\n" for address in servers))
    return configured


def _nameservers(net: Any) -> list[str]:
    return [address.strip() for address in (net.nameserver or "").split(",") if address.strip()]
