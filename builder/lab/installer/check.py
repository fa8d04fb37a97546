"""Nothing of a kickstart is skipped in silence: each command and option is honoured, or named.

`check_commands` runs before the disk is touched. A word that the laboratory can't honour ends the
installation, unless the medium's list of what it does not show has it; then it is said on the console.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .kickstart import Line
from .program import InstallError

STORAGE = "size grow maxsize fstype fsoptions label mkfsoptions"
SCRIPT = "interpreter log logfile erroronfail"

HONOURED: dict[str, str] = {
    "text": "",
    "cmdline": "",
    "skipx": "",
    "eula": "agreed",
    "firstboot": "disable disabled",
    "lang": "addsupport",
    "keyboard": "vckeymap xlayouts",
    "timezone": "isUtc utc ntpservers nontp",
    "network": "bootproto device hostname ip netmask gateway nameserver nodns noipv4 noipv6 onboot activate "
    "no-activate nodefroute mtu bindto",
    "rootpw": "lock iscrypted",
    "user": "name iscrypted password groups uid gid gecos shell homedir lock",
    "group": "name gid",
    "sshkey": "username",
    "firewall": "enabled enable disabled disable ssh smtp http ftp service port",
    "services": "enabled disabled",
    "bootloader": "location append iscrypted password timeout boot-drive",
    "zerombr": "",
    "ignoredisk": "only-use drives",
    "clearpart": "all none drives initlabel disklabel",
    "part": f"{STORAGE} ondisk ondrive asprimary",
    "partition": f"{STORAGE} ondisk ondrive asprimary",
    "volgroup": "pesize reserved-space reserved-percent",
    "logvol": f"{STORAGE} vgname name percent",
    "repo": "name baseurl",
    "cdrom": "",
    "harddrive": "partition dir",
    "url": "url",
    "poweroff": "eject",
    "shutdown": "eject",
    "halt": "eject",
    "reboot": "eject",
    "%pre": SCRIPT,
    "%pre-install": SCRIPT,
    "%post": f"{SCRIPT} nochroot",
    "%onerror": SCRIPT,
    "%traceback": SCRIPT,
    "%packages": "excludedocs ignoremissing nocore instLangs inst-langs exclude-weakdeps excludeWeakdeps",
}
"""Commands and sections that are carried out, with their options."""

IN_PART: dict[str, str] = {
    "text": "el instalador no tiene más interfaz que la consola",
    "cmdline": "el instalador no tiene más interfaz que la consola",
    "skipx": "no hay entorno gráfico",
    "eula": "Debian no tiene licencia que aceptar",
    "network --activate": "el instalador no usa la red; se escribe la configuración del sistema instalado",
    "%packages --excludedocs": "el DVD de laboratorio no lleva documentación de paquetes",
    "%packages --instLangs": "el DVD de laboratorio lleva los idiomas es y en",
    "%packages --inst-langs": "el DVD de laboratorio lleva los idiomas es y en",
    "%packages --exclude-weakdeps": "el DVD de laboratorio se hace sin paquetes recomendados",
    "%packages --excludeWeakdeps": "el DVD de laboratorio se hace sin paquetes recomendados",
    "part --asprimary": "en GPT todas las particiones son primarias",
}
"""What is accepted without having its full effect, and why."""

VALUES: dict[str, str] = {
    "bootloader --location": r"mbr",
    "clearpart --disklabel": r"gpt",
    "network --bootproto": r"dhcp|static",
    "url --url": r"file:///.+",
    "repo --baseurl": r"file:///.+",
    "part --fstype": r"xfs|ext4|swap|efi|vfat|biosboot|lvmpv",
    "logvol --fstype": r"xfs|ext4|swap",
    "network --bindto": r"mac",
}
"""Values that options are limited to here."""


@dataclass(frozen=True)
class Note:
    """Something that the laboratory does not show, and why."""

    what: str
    reason: str


def check_commands(lines: tuple[Line, ...], not_shown: Mapping[str, str]) -> list[Note]:
    """Return what of these lines the laboratory does not show.

    Args:
        lines: commands and section headers of the kickstart.
        not_shown: the medium's list: ``command``, ``command --option`` or ``%addon name`` -> reason.

    Raises:
        InstallError: commands, options or values that it neither honours nor has in that list.
    """
    problems: list[str] = []
    notes: dict[str, Note] = {}
    for line in lines:
        name = "part" if line.words[0] == "partition" else line.words[0]
        whole = next((key for key in (" ".join(line.words[:2]), name) if key in not_shown), None)
        if whole is not None:
            notes.setdefault(whole, Note(" ".join(line.words), not_shown[whole]))
            continue
        if name not in HONOURED:
            problems.append(f"'{name}' ({line.where})")
            continue
        if name in IN_PART:
            notes.setdefault(name, Note(name, IN_PART[name]))
        for option, value in options_of(line.words[1:]):
            key = f"{name} --{option}"
            reason = not_shown.get(key, IN_PART.get(key))
            if reason is not None:
                notes.setdefault(key, Note(key, reason))
            elif option not in HONOURED[name].split():
                problems.append(f"'{key}' ({line.where})")
            elif key in VALUES and not re.fullmatch(VALUES[key], value):
                problems.append(f"'{key}={value}' ({line.where})")
    if problems:
        raise InstallError(f"the laboratory does not honour {', '.join(problems)}")
    if not any(line.words[0] in ("poweroff", "shutdown", "halt", "reboot") for line in lines):
        raise InstallError("the kickstart has no poweroff, reboot or halt: an installer would wait for a key")
    return list(notes.values())


def options_of(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the options among a command's words with their values ("" for none)."""
    found = []
    for position, word in enumerate(words):
        match = re.fullmatch(r"--([A-Za-z][\w-]*)(?:=(.*))?", word, re.DOTALL)
        if match:
            value = match[2]
            if value is None:
                after = words[position + 1 : position + 2]
                value = after[0] if after and not after[0].startswith("--") else ""
            found.append((match[1], value))
    return found
