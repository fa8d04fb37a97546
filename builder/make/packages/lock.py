"""The lock file: a resolved set that later builds are held to."""

from __future__ import annotations

import difflib
from pathlib import Path

from builder.make.resolution import Resolution
from builder.tools.console import say
from builder.tools.errors import BadInput


def hold_to_lock(resolution: Resolution, path: Path) -> None:
    """Compare a set with a lock file (lines of NEVRA and SHA-256, as `packages.lock`).

    Raises:
        BadInput: they differ in anything; the difference is shown, line by line.
    """
    try:
        locked = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the lock file {path} can't be read", hint="give a packages.lock") from error
    difference = list(
        difflib.unified_diff(
            locked.splitlines(), resolution.lock().splitlines(), path.name, "resolved now", lineterm="", n=0
        )
    )
    if difference:
        for line in difference:
            say(line)
        changes = [line for line in difference[2:] if not line.startswith("@@")]
        raise BadInput(
            f"the packages are not those of {path}: {len(changes)} lines differ, shown above",
            hint="build from the same DVD and UPDATES, or resolve again and have the new lock approved",
        )
