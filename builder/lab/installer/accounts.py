"""Users, groups, passwords and SSH keys of the installed system."""

from __future__ import annotations

import os
import re
from typing import Any

from .kickstart import Kickstart
from .program import SYSROOT, InstallError, run

CRYPTED = re.compile(r"\$(5|6|y|2[aby])\$\S+")


def check_accounts(kickstart: Kickstart) -> None:
    """Refuse passwords that are not hashes, and users who could not log in as the kickstart thinks.

    Raises:
        InstallError: naming the command and its line.
    """
    data = kickstart.data
    root = data.rootpw
    if root.password and not (root.isCrypted and CRYPTED.fullmatch(root.password)):
        raise InstallError(f"rootpw (line {root.lineno}): only --iscrypted with a SHA-2 or better hash")
    if kickstart.seen("rootpw") and not root.password and not root.lock:
        raise InstallError(f"rootpw (line {root.lineno}): neither --lock nor a password")
    for user in data.user.userList:
        where = kickstart.line("user", user).where
        if user.password and not (user.isCrypted and CRYPTED.fullmatch(user.password)):
            raise InstallError(f"user {user.name} ({where}): only --iscrypted with a SHA-2 or better hash")
    names = {"root", *(user.name for user in data.user.userList)}
    for key in data.sshkey.sshUserList:
        if key.username not in names:
            raise InstallError(f"sshkey: there is no user '{key.username}'")


def configure_accounts(kickstart: Kickstart) -> None:
    """Make groups, users, passwords and keys, in Anaconda's order."""
    data = kickstart.data
    root = data.rootpw
    if root.password:
        _set_password("root", root.password)
    if root.lock or not kickstart.seen("rootpw"):
        # Like libuser's lock: what was there stays behind the mark.
        run(["passwd", "--quiet", "--lock", "root"], doing="lock root's password", chroot=True)
    for group in data.group.groupList:
        gid = ["--gid", str(group.gid)] if group.gid is not None else []
        run(["groupadd", *gid, group.name], doing=f"make group {group.name}", chroot=True)
    for user in data.user.userList:
        _add_user(user)
    for key in data.sshkey.sshUserList:
        _add_key(key.username, key.key)


def _add_user(user: Any) -> None:
    argv = ["useradd", "--create-home", "--shell", user.shell or "/bin/bash", "--comment", user.gecos or ""]
    if user.homedir:
        argv += ["--home-dir", user.homedir]
    if user.uid is not None:
        argv += ["--uid", str(user.uid)]
    if user.gid is not None:
        run(["groupadd", "--gid", str(user.gid), user.name], doing=f"make group {user.name}", chroot=True)
        argv += ["--gid", str(user.gid)]
    else:
        argv += ["--user-group"]
    if user.groups:
        argv += ["--groups", ",".join(group.strip() for group in user.groups)]
    run([*argv, user.name], doing=f"make user {user.name}", chroot=True)
    if user.password:
        _set_password(user.name, user.password)
    if user.lock:
        run(["passwd", "--quiet", "--lock", user.name], doing=f"lock {user.name}'s password", chroot=True)


def _set_password(name: str, crypted: str) -> None:
    run(["chpasswd", "--encrypted"], doing=f"set {name}'s password", given=f"{name}:{crypted}\n", chroot=True)


def _add_key(name: str, key: str) -> None:
    entry = next(
        line.split(":")
        for line in (SYSROOT / "etc/passwd").read_text().splitlines()
        if line.startswith(f"{name}:")
    )
    folder = SYSROOT / entry[5].lstrip("/") / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / "authorized_keys"
    with file.open("a", encoding="utf-8") as keys:
        keys.write(f"{key}\n")
    file.chmod(0o600)
    for path in (folder, file):
        os.chown(path, int(entry[2]), int(entry[3]))
