"""Language, keyboard, time, services and firewall of the installed system."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .check import Note
from .kickstart import Kickstart
from .program import SYSROOT, InstallError, run, write_file

UNITS = ("usr/lib/systemd/system", "etc/systemd/system")

PRESET_ENABLED = frozenset(
    """sshd chronyd auditd rsyslog crond firewalld NetworkManager atd irqbalance tuned kdump hypervkvpd
    hypervvssd hypervfcopyd qemu-guest-agent sssd rngd mdmonitor lvm2-monitor libstoragemgmt smartd""".split()  # noqa: SIM905
)
"""RHEL units that its presets start by themselves (redhat-release 8.3, 90-default.preset); any other
unit of the mapping, like postfix, stays off until the kickstart enables it, whatever Debian would do."""


def check_settings(kickstart: Kickstart, root: Path = Path("/")) -> None:
    """Check that the payload has the languages, keyboards and time zone that the kickstart names.

    Raises:
        InstallError: naming what it lacks.
    """
    data = kickstart.data
    known = run(["locale", "-a"], doing="list the languages of the payload").split()
    for lang in (data.lang.lang, *data.lang.addsupport):
        if lang and _locale_name(lang) not in known:
            raise InstallError(f"lang {lang}: the medium has {', '.join(known)}")
    if data.timezone.timezone and not (root / "usr/share/zoneinfo" / data.timezone.timezone).is_file():
        raise InstallError(f"timezone {data.timezone.timezone}: there is no such time zone")
    layout, _ = xkb_layout(data.keyboard)
    rules = root / "usr/share/X11/xkb/rules/base.lst"
    if layout and not re.search(rf"^  {re.escape(layout)} ", rules.read_text(), re.MULTILINE):
        raise InstallError(f"keyboard {layout}: there is no such keyboard layout")


def _locale_name(lang: str) -> str:
    name, _, charset = lang.partition(".")
    return f"{name}.{charset.lower().replace('-', '')}" if charset else name


def xkb_layout(keyboard: Any) -> tuple[str, str]:
    """Return layout and variant: the first of --xlayouts ("es (nodeadkeys)"), or else the keymap."""
    if keyboard.x_layouts:
        match = re.fullmatch(r"\s*(\w+)\s*(?:\((\w+)\))?\s*", keyboard.x_layouts[0])
        if not match:
            raise InstallError(f"keyboard --xlayouts={keyboard.x_layouts[0]}: not 'layout (variant)'")
        return match[1], match[2] or ""
    keymap = keyboard.vc_keymap or keyboard.keyboard or ""
    return str(keymap).split("-", 1)[0], ""


def configure_settings(kickstart: Kickstart) -> None:
    """Write language, keyboard and time zone."""
    data = kickstart.data
    if data.lang.lang:
        for name in ("etc/locale.conf", "etc/default/locale"):
            write_file(SYSROOT / name, f'LANG="{data.lang.lang}"\n')
    layout, variant = xkb_layout(data.keyboard)
    if layout:
        keymap = data.keyboard.vc_keymap or data.keyboard.keyboard or layout
        write_file(SYSROOT / "etc/vconsole.conf", f'KEYMAP="{keymap}"\n')
        _set_keyboard(layout, variant)
    zone = data.timezone.timezone or "America/New_York"  # Anaconda's own default
    localtime = SYSROOT / "etc/localtime"
    localtime.unlink(missing_ok=True)
    localtime.symlink_to(f"../usr/share/zoneinfo/{zone}")
    write_file(SYSROOT / "etc/timezone", f"{zone}\n")
    write_file(SYSROOT / "etc/adjtime", f"0.0 0 0.0\n0\n{'UTC' if data.timezone.isUtc else 'LOCAL'}\n")
    if data.timezone.ntpservers:
        _set_time_servers(list(data.timezone.ntpservers))


def _set_keyboard(layout: str, variant: str) -> None:
    """Write the console's keyboard; what the payload has compiled for the same one stays usable."""
    path = SYSROOT / "etc/default/keyboard"
    values = {"MODEL": "pc105", "LAYOUT": layout, "VARIANT": variant, "OPTIONS": ""}
    text = "".join(f'XKB{name}="{value}"\n' for name, value in values.items()) + 'BACKSPACE="guess"\n'
    same = path.is_file() and path.read_text() == text
    for cached in (SYSROOT / "etc/console-setup").glob("cached_*"):
        if same:
            os.utime(cached)  # they count only when newer than the files they were made from
        else:
            cached.unlink()
    if not same:
        write_file(path, text)


def _set_time_servers(servers: list[str]) -> None:
    """Put the time servers in chrony's configuration in place of its own, as Anaconda does."""
    path = SYSROOT / "etc/chrony/chrony.conf"
    if not path.is_file():
        raise InstallError("timezone --ntpservers: chrony is not installed")
    text = re.sub(r"^(?=(server|pool)\s)", "#", path.read_text(), flags=re.MULTILINE)
    write_file(path, text + "".join(f"server {server} iburst\n" for server in servers))


def unit_exists(unit: str, root: Path = SYSROOT) -> bool:
    """Say whether a root file system has a service: a unit, or a script that systemd makes one of."""
    native = any((root / folder / f"{unit}.service").exists() for folder in UNITS)
    return native or (root / "etc/init.d" / unit).exists()


def unit_enabled(unit: str, root: Path = SYSROOT) -> bool:
    """Say whether something starts a service at boot in a root file system."""
    wants = any((root / "etc/systemd/system").glob(f"*.wants/{unit}.service"))
    return wants or any((root / "etc").glob(f"rc[2-5].d/S[0-9][0-9]{unit}"))


def select_services(
    kickstart: Kickstart, mapping: Mapping[str, str], not_shown: Mapping[str, str], root: Path
) -> tuple[dict[str, bool], list[Note]]:
    """Return which Debian units to enable (True) or disable, and what is not shown.

    Args:
        kickstart: its ``services`` and ``timezone --nontp``.
        mapping: RHEL unit -> Debian unit.
        not_shown: the medium's list of what it can't show.
        root: a root file system with the payload's units.

    Raises:
        InstallError: a unit to enable that the payload does not have.
    """
    data = kickstart.data
    notes: list[Note] = []
    states = {debian: rhel in PRESET_ENABLED for rhel, debian in mapping.items() if unit_exists(debian, root)}
    nontp = ["chronyd"] if data.timezone.nontp else []
    asked = [(name, True) for name in data.services.enabled]
    asked += [(name, False) for name in (*nontp, *data.services.disabled)]
    for word, enabled in asked:
        name = word.removesuffix(".service")
        debian = mapping.get(name, name)
        if unit_exists(debian, root):
            states[debian] = enabled
        elif name in not_shown:
            notes.append(Note(f"services {name}", not_shown[name]))
        elif enabled:
            raise InstallError(f"services --enabled={name}: the medium has no unit {debian}.service")
    return states, notes


def configure_services(states: Mapping[str, bool]) -> None:
    """Enable and disable units of the target; those whose package was taken out are left alone."""
    for verb, wanted in (("enable", True), ("disable", False)):
        units = [
            f"{unit}.service"
            for unit, state in states.items()
            # systemctl is slow under emulation, and most units are as they should be already.
            if state is wanted and unit_exists(unit) and unit_enabled(unit) is not wanted
        ]
        if units:
            run(["systemctl", "--quiet", verb, *units], doing=f"{verb} {', '.join(units)}", chroot=True)


def require_enabled(states: Mapping[str, bool], asked: list[str], mapping: Mapping[str, str]) -> None:
    """Check that what the kickstart enables is there once the packages are.

    Raises:
        InstallError: a service whose package %packages does not bring.
    """
    for name in asked:
        debian = mapping.get(name.removesuffix(".service"), name.removesuffix(".service"))
        if states.get(debian) and not unit_exists(debian):
            raise InstallError(f"services --enabled={name}: %packages brings no {debian}.service")


def configure_firewall(kickstart: Kickstart) -> None:
    """Set firewalld as the kickstart says, with firewall-offline-cmd as Anaconda does."""
    firewall = kickstart.data.firewall
    if not kickstart.seen("firewall"):
        return
    if not (SYSROOT / "usr/bin/firewall-offline-cmd").exists():
        if firewall.enabled:
            raise InstallError("firewall --enabled: %packages brings no firewalld")
        return
    argv = ["firewall-offline-cmd", "--enabled" if firewall.enabled else "--disabled"]
    if firewall.enabled:
        argv += [f"--service={name}" for name in firewall.services]
        argv += [f"--port={port}" for port in firewall.ports]
    run(argv, doing="configure the firewall", chroot=True)
