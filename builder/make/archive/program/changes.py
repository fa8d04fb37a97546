"""What would change: files and folders against what lies on the server; packages, accounts, units."""

import difflib
import fnmatch
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .contents import Contents, Entry, Refused
from .system import ABSENT, State, System, type_of, with_type

ACLS = ("system.posix_acl_access", "system.posix_acl_default", "security.capability")
"""What gives rights besides the mode: a file of the overlay has none of it."""
HIDDEN = re.compile(r"\$(?:1|2[aby]|5|6|y|gy|7)\$\S+")
PRIVATE = b"PRIVATE KEY-----"


class Change(NamedTuple):
    """A file or folder that is not as the overlay has it."""

    entry: Entry
    now: State
    wanted: Optional[State]
    """None: its owner does not exist yet; a hook makes the account"""


def check_identity(contents: Contents, system: System) -> None:
    """Compare os-release(5) with what the archive is for.

    Raises:
        Refused: it is another system.
    """
    identity = contents.manifest["identity"]
    said = system.words("/etc/os-release") or system.words("/usr/lib/os-release")
    for asked in identity["os_release"]:
        if all(said.get(name) == value for name, value in asked.items()):
            if asked.get("VERSION_ID") in (None, identity["version"]):
                return
            # CentOS Linux says 8 and no more.
            try:
                release = system.read("/etc/centos-release").decode("utf-8", "replace")
            except OSError:
                release = ""
            if " release {}.".format(identity["version"]) in release:
                return
    name = said.get("PRETTY_NAME") or said.get("NAME") or "?"
    raise Refused("wrong-system", title=contents.manifest["title"], name=name)


def find_changes(contents: Contents, system: System) -> List[Change]:
    """Return what has to be placed or set, folders first."""
    found = []
    for entry in sorted(contents.entries, key=lambda entry: (entry.sha256 is not None, entry.path)):
        now = system.state(entry.path)
        wanted = wanted_state(entry, now, system)
        if wanted is None or not wanted.same(now):
            found.append(Change(entry, now, wanted))
    return found


def wanted_state(entry: Entry, now: State, system: System) -> Optional[State]:
    """Return what an entry asks for; None when its owner does not exist."""
    ids = system.ids(entry.owner)
    if ids is None:
        return None
    kind = "file" if entry.sha256 else "dir"
    xattrs = {name: value for name, value in now.xattrs.items() if name not in ACLS}
    wanted = State(kind, entry.mode, ids[0], ids[1], 0, xattrs, entry.sha256 or "")
    return with_type(wanted, entry.type) if system.selinux else wanted


def describe(change: Change, contents: Contents, system: System, texts: Dict[str, str]) -> List[str]:
    """Return a change as lines: what differs, and a unified diff of the content unless it is a secret."""
    entry, now = change.entry, change.now
    lines = []
    kind = texts["folder"] if entry.sha256 is None else texts["file"]
    if now.kind == "absent":
        lines.append(
            "+ {} ({}, {:04o} {}{})".format(
                entry.path, kind, entry.mode, entry.owner, " " + entry.type if system.selinux else ""
            )
        )
    else:
        differs = list(differences(change, system, texts))
        lines.append("~ {} ({})".format(entry.path, ", ".join(differs)))
    if entry.sha256 and now.content != entry.sha256:
        old = system.read(entry.path) if now.kind == "file" else b""
        lines += diff(entry, old, contents.read(entry), now.kind != "absent", texts)
    return lines


def differences(change: Change, system: System, texts: Dict[str, str]) -> List[str]:
    """Return in words what of a thing that is there differs, its content apart."""
    entry, now, wanted = change
    found = []
    if now.kind != ("file" if entry.sha256 else "dir"):
        found.append(texts["kind"].format(kind=texts["kind-" + now.kind]))
    elif entry.sha256 and now.content != entry.sha256:
        found.append(texts["content"])
    if now.mode != entry.mode and now.kind != "link":
        found.append("{:04o} -> {:04o}".format(now.mode, entry.mode))
    if wanted is None:
        found.append(texts["no-owner"].format(owner=entry.owner))
    elif (now.uid, now.gid) != (wanted.uid, wanted.gid):
        found.append("{}:{} -> {}".format(now.uid, now.gid, entry.owner))
    if system.selinux and type_of(now) != entry.type:
        found.append("{} -> {}".format(type_of(now) or "?", entry.type))
    if any(name in now.xattrs for name in ACLS):
        found.append(texts["acl"])
    return found


def diff(entry: Entry, old: bytes, new: bytes, there: bool, texts: Dict[str, str]) -> List[str]:
    """Return a unified diff; of secrets and of what is no text, a word instead."""
    if entry.secret or PRIVATE in old or PRIVATE in new:
        return ["    " + texts["secret"]]
    try:
        before, after = old.decode("utf-8").splitlines(), new.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return ["    " + texts["binary"]]
    name = entry.path if there else "/dev/null"
    lines = list(difflib.unified_diff(before, after, name, entry.path, lineterm=""))
    if not lines and old != new:
        lines = [texts["last-newline"]]
    return ["    " + printable(HIDDEN.sub("$***", line)) for line in lines]


def printable(line: str) -> str:
    """Return a line that does nothing to a terminal."""
    return "".join(char if char.isprintable() or char == "\t" else "?" for char in line)


def missing_packages(contents: Contents, system: System) -> Tuple[List[str], List[str]]:
    """Return the packages that are asked for and not installed, and those that are there and must not be.

    Raises:
        Refused: the server can't say what is installed.
    """
    code, said = system.run(["/bin/sh", "-c", contents.manifest["list_packages"]])
    installed: Dict[str, List[str]] = {}
    for line in said.splitlines():
        found = re.match(r"^(.+)-(?:\d+:)?([^-:]+-[^-]+)\.[^.]+$", line)
        if found:
            installed.setdefault(found.group(1), []).append(found.group(2))
    if code or not installed:
        raise Refused("no-packages", said=said[-200:])
    missing = []
    for asked in contents.manifest["packages"]:
        pin = re.match(r"^(.+)-(\d[^-]*-[^-]+)$", asked)
        if asked not in installed and not (pin and pin.group(2) in installed.get(pin.group(1), ())):
            missing.append(asked)
    unwanted = sorted(
        name
        for pattern in contents.manifest["excludes"]
        for name in fnmatch.filter(installed, pattern)
        if not pattern.startswith("@")
    )
    return missing, unwanted


def missing_accounts(contents: Contents, system: System) -> List[str]:
    """Return in words the people's accounts that are not there, or not in their group."""
    found = []
    for account in contents.manifest["accounts"]:
        groups = system.groups(account["user"])
        if groups is None:
            found.append(account["user"])
        elif account["group"] and account["group"] not in groups:
            found.append("{} ({})".format(account["user"], account["group"]))
    return found


def disabled_units(contents: Contents, system: System) -> List[str]:
    """Return the units that would be enabled."""
    found = []
    for unit in contents.manifest["services"]:
        _, said = system.run(["systemctl", "is-enabled", unit], SYSTEMD_OFFLINE="1")
        if (said.splitlines() or [""])[-1] != "enabled":
            found.append(unit)
    return found


def describe_state(path: str, before: State, after: State) -> str:
    """Return in one line what became of a path: for the list of what was changed."""
    if before.kind == "absent":
        return "+ " + path
    if after.kind == "absent":
        return "- " + path
    return "~ " + path


def parents(path: str, system: System) -> List[str]:
    """Return the folders above a path that are not there, outermost first."""
    found: List[str] = []
    path = os.path.dirname(path)
    while path != "/" and system.state(path) == ABSENT:
        found.insert(0, path)
        path = os.path.dirname(path)
    return found


def facts_of(contents: Contents) -> Dict[str, Any]:
    """Return what the way back remembers of an archive."""
    return {name: contents.manifest[name] for name in ("profile", "platform", "saved", "services")}
