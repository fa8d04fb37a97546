"""The kickstart's scripts, run as Anaconda runs them (pyanaconda/kickstart.py, AnacondaKSScript.run)."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from . import console
from .program import TMP, InstallError

SECTIONS = {0: "%pre", 1: "%post", 2: "%traceback", 3: "%pre-install", 4: "%onerror"}


def run_scripts(scripts: list[Any], root: Path = Path("/")) -> None:
    """Run scripts in order.

    The script lies in /tmp of the system that it runs in and is handed to its interpreter, so noexec
    there does no harm. Its output goes to ``--log``, or to a log of its own.

    Raises:
        InstallError: a script with --erroronfail failed.
    """
    for script in scripts:
        title = f"{SECTIONS[script.type]} script of {Path(script.file).name} line {script.lineno}"
        console.progress(title)
        code, output = run_script(script, root)
        if code != 0:
            console.say(f"the {title} exited with {code}; the end of its log:")
            console.tail(output)
            if script.errorOnFail:
                raise InstallError(f"{title}, exit code {code}")


def run_script(script: Any, root: Path) -> tuple[int, str]:
    """Run one script; return its exit code (128 + n for signal n) and what it wrote."""
    inside = root if script.inChroot else Path("/")
    (inside / "tmp").mkdir(exist_ok=True)
    handle, name = tempfile.mkstemp(prefix="ks-script-", dir=inside / "tmp")
    os.write(handle, script.script.encode())
    os.close(handle)
    Path(name).chmod(0o700)
    if script.logfile:
        log = inside / script.logfile.lstrip("/")
        log.parent.mkdir(parents=True, exist_ok=True)
    else:
        log = TMP / f"{Path(name).name}.log"
    argv = [script.interp, str(TMP / Path(name).name)]
    if script.inChroot:
        argv = ["chroot", str(root), *argv]
    env = {
        "PATH": "/usr/bin:/bin:/sbin:/usr/sbin",
        "HOME": "/root",
        "TERM": "linux",
        "LC_ALL": "C",
        "ANA_INSTALL_PATH": "/mnt/sysroot",
    }
    try:
        with log.open("wb") as out:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=env,
                cwd="/",
                check=False,
            )
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
    except OSError as error:
        return 127, f"{script.interp}: {error.strerror}"
    finally:
        Path(name).unlink(missing_ok=True)
    return code, log.read_text(encoding="utf-8", errors="replace")
