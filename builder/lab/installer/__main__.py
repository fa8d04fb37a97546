"""Install, say how it went, and stop the machine: nobody is there to press a key."""

from __future__ import annotations

import contextlib
import traceback
from pathlib import Path

from pykickstart.constants import (
    KS_SCRIPT_ONERROR,
    KS_SCRIPT_TRACEBACK,
)

from . import console, finish, source
from .install import State, install
from .program import SYSROOT, InstallError
from .scripts import run_scripts

BANNER = """\
**********************************************************************
*  DVD DE LABORATORIO de Forja: instala Debian, NO Red Hat           *
*  Enterprise Linux. Sirve para probar un kickstart, no para         *
*  producción.                                                       *
**********************************************************************"""


def main() -> None:
    """Carry out the installation and end the machine as the kickstart says; power off when it fails."""
    console.say(BANNER)
    cmdline = Path("/proc/cmdline").read_text(encoding="utf-8")
    if not source.argument(cmdline, "inst.ks"):
        console.say("ERROR: no inst.ks among the kernel's arguments: nothing to install; powering off")
        finish.stop(finish.POWER_OFF)
    console.progress("the installer starts")
    state = State()
    try:
        install(cmdline, state)
    except InstallError as error:
        _run_after_failure(state, KS_SCRIPT_ONERROR)
        _end_in_error(str(error))
    except BaseException as error:
        console.tail(traceback.format_exc())
        _run_after_failure(state, KS_SCRIPT_TRACEBACK)
        _run_after_failure(state, KS_SCRIPT_ONERROR)
        _end_in_error(f"the installer itself failed: {type(error).__name__}: {error}")
    lines = state.kickstart.lines if state.kickstart else ()
    ending = next(line for line in reversed(lines) if line.words[0] in finish.ENDINGS)
    console.progress(ending.words[0])
    console.say(console.DONE)
    device = source.device_of(source.REPO) if "--eject" in ending.words else ""
    finish.stop(finish.ENDINGS[ending.words[0]], eject=device)


def _run_after_failure(state: State, kind: int) -> None:
    if state.kickstart is not None:
        with contextlib.suppress(InstallError):
            run_scripts(state.kickstart.scripts(kind), SYSROOT)


def _end_in_error(text: str) -> None:
    console.say(f"ERROR: {' '.join(text.split())}")
    finish.stop(finish.POWER_OFF)


main()
