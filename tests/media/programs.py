"""The one way in which the media kit runs a program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

EPOCH = 1601510400
"""2020-10-01: the date of everything in the media."""


def run(*words: str | Path, **env: str) -> str:
    """Run a program and return its standard output; the error says what it printed when it fails."""
    neutral = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "SOURCE_DATE_EPOCH": str(EPOCH)}
    done = subprocess.run(
        words, env={**os.environ, **neutral, **env}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{words[0]} exited with {done.returncode}: {(done.stderr + done.stdout)[-2000:]}")
    return done.stdout
