"""The medium: the installation ISO with kickstart, overlay and updates inside, which installs by itself.

Only what changes is laid out (boot menus, their copies inside the EFI boot image, `.treeinfo`, our own
folder); xorriso, or lorax's mkksiso, writes the original with it.
"""

from __future__ import annotations

from pathlib import Path

from builder.ask.plan import Plan
from builder.make.medium.changes import Contents, prepare_changes
from builder.make.medium.mkksiso import find_mkksiso, write_by_mkksiso
from builder.make.medium.way import Way, choose_way
from builder.make.medium.xorriso import write_by_xorriso
from builder.tools.files import finished, scratch
from builder.tools.iso import Original
from builder.tools.process import run

__all__ = ["Contents", "Way", "choose_way", "make_medium"]


def make_medium(
    plan: Plan,
    original: Original,
    contents: Contents,
    path: Path,
    *,
    trim: bool = False,
    way: Way | None = None,
    log: Path,
) -> Path:
    """Write the medium to `path`.

    Args:
        original: the installation ISO; its volume id is kept, so that inst.stage2 still finds its image.
        contents: the artefacts to put inside.
        path: the ISO to write.
        trim: leave out every package that the resolved set does not need.
        way: the program that writes it; None for the best that this host has.
        log: where the programs' output goes.

    Raises:
        BadInput: the resolution is not of this medium, or the way asked for can't do it.
        HostUnready: the program is not on this host, or a version of it that can't do it.
        StageFailed: a boot menu is not what we know, or a program failed.
    """
    chosen = choose_way(way, trim=trim)
    with finished(path) as partial, scratch(path.parent, "medium") as work:
        changes, epoch = prepare_changes(plan, original, contents, work / "tree", trim=trim, log=log)
        if chosen is Way.MKKSISO:
            write_by_mkksiso(find_mkksiso(), changes, partial, epoch=epoch, log=log)
        else:
            write_by_xorriso(changes, partial, epoch=epoch, log=log)
        run(["implantisomd5", "--force", partial], doing="implant the media check", log=log)
    return path
