"""Writing the medium by xorriso, which replays the original's boot set-up: El Torito twice, isohybrid."""

from __future__ import annotations

from pathlib import Path

from builder.make.medium.changes import Changes
from builder.tools.process import Argument, run


def write_by_xorriso(changes: Changes, target: Path, *, epoch: int, log: Path) -> None:
    """Write the original with its changes as a new ISO.

    Args:
        target: the ISO to write; it must not exist.
        epoch: the time of every file and of the volume, seconds.

    Raises:
        StageFailed: xorriso failed.
    """
    orders = changes.tree.with_suffix(".xorriso")
    orders.write_text("".join(f"-rm_r {quote(path)} --\n" for path in changes.losing), encoding="utf-8")
    argv: list[Argument] = [
        # Without a halt every 16 MiB until the disk has them: a fifth less time.
        *("xorriso", "-stdio_sync", "off"),
        # Names are names: else each is held against every file of its folder, half a minute for a whole DVD.
        *("-iso_rr_pattern", "off"),
        *("-indev", changes.original.path, "-outdev", target, "-boot_image", "any", "replay"),
        *("-volid", changes.original.volume_id, "-joliet", "on", "-compliance", "joliet_long_names"),
        # In a file, for the packages that a trimmed medium loses are more than fit into an argument list.
        *("-options_from_file", orders),
        *("-map", changes.tree, "/"),
        *(word for top in changes.tops for word in ("-chown_r", "0", top, "--", "-chgrp_r", "0", top, "--")),
        # All of it, for the folders that files are put into take the time of that.
        *("-alter_date_r", "b", f"={epoch}", "/", "--"),
        *("-alter_date_r", "c", f"={epoch}", "/", "--"),
        *("-volume_date", "all_file_dates", f"={epoch}"),
        *("-padding", "0", "-commit_eject", "none"),
    ]
    run(argv, doing="write the medium", log=log, env={"SOURCE_DATE_EPOCH": str(epoch)})


def quote(path: str) -> str:
    """Return a path of the medium as a word of xorriso's order files (xorriso(1), "Command processing")."""
    return "'/" + path.replace("'", "'\"'\"'") + "'"
