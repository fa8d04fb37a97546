"""Whose signatures are believed: the vendors' keys by fingerprint, the organisation's own within limits."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from builder.ask.plan import Plan
from builder.tools.errors import BadInput
from builder.tools.process import run


@dataclass(frozen=True)
class Key:
    """A public key that is believed."""

    fingerprint: str
    name: str
    ids: frozenset[str]
    """Long ids, in lower case, of the key and its subkeys: AlmaLinux signs with a subkey."""
    packet: bytes
    """The key itself, in OpenPGP's binary form."""
    own: bool = False
    patterns: tuple[str, ...] = ("*",)

    def may_sign(self, package: str) -> bool:
        """Say whether this key counts for a package of this name."""
        return any(fnmatchcase(package, pattern) for pattern in self.patterns)


def trusted_keys(plan: Plan, files: Sequence[Path], work: Path) -> list[Key]:
    """Return the keys that are believed, out of the key files at hand.

    A key is believed because its fingerprint is in the platform or, as the organisation's own, in the site
    file; never because it lies on a medium or in a folder.

    Args:
        files: key files found on the DVD and in the folder of updates.
        work: a scratch folder.

    Raises:
        BadInput: a file that the site names is missing, is no key, or holds none that it may hold.
    """
    settings = plan.site.packages
    vendors = {key.fingerprint: key.name for key in plan.platform.keys if key.fingerprint}
    found: dict[str, Key] = {}
    for path in files:
        for key in read_keys(path, work):
            if key.fingerprint in vendors or (plan.platform.mark and not vendors):
                found[key.fingerprint] = key
    for name in settings.keys:
        path = at_site(plan, name, "packages.keys")
        known = [key for key in read_keys(path, work) if key.fingerprint in vendors]
        if not known:
            raise BadInput(
                f"{path} (packages.keys) holds no key of a vendor that Forja knows by fingerprint",
                hint="a key of the organisation itself goes to [[packages.own_keys]]",
            )
        found.update({key.fingerprint: key for key in known})
    for own in settings.own_keys:
        path = at_site(plan, own.file, "packages.own_keys.file")
        keys = {key.fingerprint: key for key in read_keys(path, work)}
        if own.fingerprint not in keys:
            there = ", ".join(keys) or "no key"
            raise BadInput(
                f"{path} holds {there}, not the key {own.fingerprint} of packages.own_keys",
                hint="correct file or fingerprint in the site file",
            )
        key = keys[own.fingerprint]
        found[key.fingerprint] = Key(key.fingerprint, key.name, key.ids, key.packet, True, own.packages)
    return list(found.values())


def at_site(plan: Plan, path: Path, key: str) -> Path:
    """Return a path of the site file, which starts from its folder.

    Raises:
        BadInput: there is no such file.
    """
    path = plan.site.source / path
    if not path.is_file():
        raise BadInput(f"the key file {path} does not exist", hint=f"correct {key} in the site file")
    return path


def read_keys(path: Path, work: Path) -> list[Key]:
    """Return the keys of a file, armored or binary.

    Raises:
        BadInput: it holds none.
    """
    home = work / "gnupg"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700, parents=True)
    gpg: list[str | Path] = [
        "gpg",
        "--homedir",
        home,
        "--batch",
        "--quiet",
        "--no-autostart",
        "--no-auto-check-trustdb",
    ]
    doing = f"read the key file {path}"
    run([*gpg, "--import", path], doing=doing, accept=(0, 2))
    listing = run([*gpg, "--with-colons", "--fixed-list-mode", "--list-keys"], doing=doing).stdout
    keys = []
    for block in re.split(r"(?m)^(?=pub:)", listing)[1:]:
        rows = [line.split(":") for line in block.splitlines()]
        fingerprint = next(row[9] for row in rows if row[0] == "fpr")
        armored = work / "key.gpg"
        armored.unlink(missing_ok=True)
        run([*gpg, "--output", armored, "--export", fingerprint], doing=doing)
        keys.append(
            Key(
                fingerprint=fingerprint,
                name=next((row[9].replace("\\x3a", ":") for row in rows if row[0] == "uid"), fingerprint),
                ids=frozenset(row[4].lower() for row in rows if row[0] in ("pub", "sub")),
                packet=armored.read_bytes(),
            )
        )
    if not keys:
        raise BadInput(f"{path} is no OpenPGP public key", hint="give the key file as its owner publishes it")
    return keys
