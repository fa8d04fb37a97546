"""What the installer says on the consoles; a build watches the serial one for these lines.

Every line begins with ``laboratorio:``. The last is either ``laboratorio: instalación terminada`` or
``laboratorio: ERROR: <what failed>``; there is one of them, once.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from .program import TMP

LOG = TMP / "anaconda.log"
DONE = "instalación terminada"


def consoles(active: str) -> list[str]:
    """Return the devices to write to: the last ``console=`` and, if that is not it, the serial port.

    Args:
        active: /sys/class/tty/console/active: names of the consoles, the last being /dev/console's.
    """
    names = active.split()
    return ["/dev/console"] if names and names[-1] == "ttyS0" else ["/dev/console", "/dev/ttyS0"]


def say(text: str) -> None:
    """Print lines on every console, and keep them in the log."""
    lines = "".join(f"laboratorio: {line}\n" for line in text.splitlines() or [""])
    try:
        active = Path("/sys/class/tty/console/active").read_text(encoding="ascii")
    except OSError:
        active = ""
    for device in consoles(active):
        # A port that exists but has no hardware behind it refuses to be written to.
        with contextlib.suppress(OSError), Path(device).open("w", encoding="utf-8") as file:
            file.write(lines)
    with contextlib.suppress(OSError), LOG.open("a", encoding="utf-8") as file:
        file.write(lines)


def progress(text: str) -> None:
    """Say what begins now, with the seconds since the kernel started."""
    say(f"[{time.clock_gettime(time.CLOCK_BOOTTIME):.1f}] {text}")


def not_shown(what: str, reason: str) -> None:
    """Say what of the kickstart this laboratory can't show, and why."""
    say(f"no mostrado: {what}: {reason}")


def tail(text: str, count: int = 25) -> None:
    """Say the last lines of a failed script or program."""
    for line in text.splitlines()[-count:]:
        say(f"| {line}")
