"""Writing the medium by lorax's mkksiso.

It adds a kickstart and its kernel arguments to every entry of a medium's menus; ours are edited already, so
it is given the finished files to put over its own (`--add FOLDER` merges a folder into the medium's), and is
kept from rebuilding the EFI boot image. Its interface changed with lorax's versions and it has no --version:
what it can do is read from its --help.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from builder.make.medium.changes import Changes
from builder.make.medium.treeinfo import NAME as TREEINFO
from builder.tools.errors import HostUnready
from builder.tools.process import Argument, find_program, run


@dataclass(frozen=True)
class Mkksiso:
    """The mkksiso of this host, by what its --help says."""

    program: Path
    options: frozenset[str]
    kickstart_required: bool
    """Versions before 37.6 take the kickstart as the first of three arguments, and none may be missing."""
    version: str = ""
    """Of the package that it is of; "" when rpm does not know."""

    @property
    def replays(self) -> bool:
        """Whether it changes an ISO as xorriso does (lorax 37.1, 34.9.16), or mounts it and makes another."""
        return "--no-md5sum" in self.options

    def argv(self, changes: Changes, target: Path) -> list[Argument]:
        """Return the argument list that writes the changed original as a new ISO."""
        added = [word for top in changes.tops for word in ("--add", str(changes.tree / top[1:]))]
        # Since 38.4 it would make the EFI boot image anew, of the medium's own files and as root.
        skip = ["--skip-mkefiboot"] if "--skip-mkefiboot" in self.options else []
        # A kickstart that must be given goes to the root of the medium: let it be a file that belongs there.
        kickstart = [changes.tree / TREEINFO] if self.kickstart_required else []
        files = [*kickstart, changes.original.path, target]
        return [self.program, "--no-md5sum", *skip, *added, "--", *files]


def find_mkksiso() -> Mkksiso:
    """Return the mkksiso of this host, one that can write our medium.

    Raises:
        HostUnready: there is none, or it can't keep the menus that we edited.
    """
    path = find_program("mkksiso")
    if path is None:
        raise HostUnready(
            "mkksiso is not on this host",
            hint="install lorax (RHEL 9 and later), or leave --medium-with out: xorriso writes the same",
        )
    said = run([path, "--help"], doing="ask mkksiso what it can do", env={"COLUMNS": "200"}, timeout=60)
    found = probe(Path(path), said.stdout, package_version(Path(path)))
    if not found.replays:
        raise HostUnready(
            f"{path} ({found.version or 'of a lorax before 37.1'}) can't write this medium: it edits every "
            "menu entry itself, and takes no file in the place of one that the DVD has",
            hint="use --medium-with xorriso, or a lorax of 34.9.16 (RHEL 9), 37.1 (Fedora) or later",
        )
    return found


def probe(program: Path, said: str, version: str = "") -> Mkksiso:
    """Return what a mkksiso can do, from the text of its --help."""
    usage = re.split(r"\n\s*\n", said, maxsplit=1)[0]
    return Mkksiso(
        program=program,
        options=frozenset(re.findall(r"--[a-z][\w-]*", said)),
        kickstart_required=bool(re.search(r"(?<![\w\[-])ks\s+input_iso", usage)),
        version=version,
    )


def package_version(program: Path) -> str:
    """Return the package that a program is of, such as lorax-34.9.28-1.el9, or ""."""
    if find_program("rpm") is None:
        return ""
    said = run(["rpm", "-qf", program], doing=f"ask which package {program} is of", accept=(0, 1))
    return said.stdout.strip() if said.returncode == 0 else ""


def write_by_mkksiso(mkksiso: Mkksiso, changes: Changes, target: Path, *, epoch: int, log: Path) -> None:
    """Write the original with its changes as a new ISO: the same files as xorriso's way gives.

    Not the same bytes: before lorax 44.1 it puts the time of day into the volume, and no Joliet names in any.

    Args:
        target: the ISO to write; it must not exist.

    Raises:
        StageFailed: it failed.
    """
    env = {"SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": str(changes.tree.parent)}
    run(mkksiso.argv(changes, target), doing="write the medium with mkksiso", log=log, env=env)
