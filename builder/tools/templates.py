"""Templates that make plain text, such as a kickstart or a configuration file: strict, and never HTML."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2


@cache
def text_templates(folder: Path) -> jinja2.Environment:
    """Return the templates of a folder: an unknown name is an error, tags leave no lines of their own.

    Made once a folder: what it has compiled serves a whole fleet. A file that changes is read again.
    """
    return jinja2.Environment(  # noqa: S701 - no HTML, so nothing to escape
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
