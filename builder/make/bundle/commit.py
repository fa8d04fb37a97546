"""The repository at HEAD: its tracked files, and its history for `git clone`."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

from builder.make.bundle.parts import Item
from builder.tools.console import warn
from builder.tools.errors import BadInput
from builder.tools.process import Argument, require_program, run

SETTINGS = ("tar.umask=022", "core.autocrlf=false", "pack.window=10", "pack.depth=50", "pack.compression=6")
"""What a person's own settings could change in the bytes that come out."""
ALONE = (
    "--threads=1",
    "--no-reuse-delta",
    "--no-reuse-object",
    "--no-use-bitmap-index",
    "--delta-base-offset",
)
"""So that a pack depends on its objects alone, not on how this clone keeps them."""


@dataclass(frozen=True)
class Commit:
    """A commit of a clone: its id, and its time in seconds since 1970."""

    repository: Path
    id: str
    time: int

    @property
    def short(self) -> str:
        """The beginning of its id, for names."""
        return self.id[:12]

    def read_tree(self, archive: Path, *, log: Path) -> list[Item]:
        """Return the tracked files, from an archive that git writes to `archive`."""
        self._git("archive", "--format=tar", "-o", archive, self.id, doing="pack the repository", log=log)
        with tarfile.open(archive) as tar:
            return [
                Item(member.name, archive, offset=member.offset_data, length=member.size, member=member)
                for member in tar
                if not member.isdir()
            ]

    def read_history(self, path: Path, *, log: Path) -> Path | None:
        """Write the commit and all before it as a file for `git clone`; None when this clone lacks some.

        What `git bundle create` would write, but for the same bytes each time (gitformat-bundle, version 2).
        """
        if self._git("rev-parse", "--is-shallow-repository", doing="look at the clone") == "true":
            warn("this clone is a shallow one (--depth): the bundle will have no history")
            return None
        base = path.with_suffix("")
        digest = self._git(
            *("pack-objects", "-q", "--revs", *ALONE, base),
            doing="pack the history",
            stdin=f"{self.id}\n".encode(),
        )
        header = f"# v2 git bundle\n{self.id} HEAD\n{self.id} refs/heads/main\n\n".encode()
        path.write_bytes(header + base.with_name(f"{base.name}-{digest}.pack").read_bytes())
        return path

    def _git(self, *words: Argument, doing: str, log: Path | None = None, stdin: bytes | None = None) -> str:
        return git(self.repository, *words, doing=doing, log=log, stdin=stdin)


def read_commit(repository: Path) -> Commit:
    """Return the commit at HEAD.

    Raises:
        BadInput: this is no clone, or tracked files have changes that no commit has.
        HostUnready: git is not on this host.
    """
    require_program("git", purpose="packs the repository", package="git")
    if not (repository / ".git").exists():
        raise BadInput(f"{repository} is no clone made by git", hint="make the bundle in a clone")
    changed = git(repository, "status", "--porcelain", doing="look for changes").splitlines()
    tracked = [line[3:] for line in changed if not line.startswith("??")]
    if tracked:
        raise BadInput(
            f"{len(tracked)} file(s) have changes that no commit has: {', '.join(tracked[:3])}",
            hint="commit them or take them back: the bundle is of a commit",
        )
    if changed:
        warn(f"{len(changed)} file(s) that git does not track stay out of the bundle: {changed[0][3:]} ...")
    said = git(repository, "show", "--no-patch", "--format=%H %ct", "HEAD", doing="read the commit").split()
    return Commit(repository, said[0], int(said[1]))


def git(
    repository: Path, *words: Argument, doing: str, log: Path | None = None, stdin: bytes | None = None
) -> str:
    """Run git in a repository and return what it says."""
    settings = [word for setting in SETTINGS for word in ("-c", setting)]
    argv: list[Argument] = ["git", "-C", repository, *settings, *words]
    return run(argv, doing=doing, log=log, stdin=stdin).stdout.rstrip("\n")
