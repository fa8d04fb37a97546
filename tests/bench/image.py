"""A whole build, stage by stage, as `forja image` itself tells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from . import table
from .cases import FORJA
from .measure import measure


def measure_image(folder: Path, words: Sequence[str]) -> list[str]:
    """Return the lines of the table: one build, in a folder of its own.

    Args:
        words: of the command line, after `forja image`.
    """
    room = folder / "image"
    run = measure([FORJA, "image", *words, "--build", room], written=[room], log=folder / "output.log")
    found = re.findall(r"(?m)^==> (.*)\n(?: .*\n)*?    done in ([\d.]+) s$", run.output)
    return [
        table.row("forja image", [run]),
        *(f"    {title:40} {float(seconds):12.1f}" for title, seconds in found),
    ]
