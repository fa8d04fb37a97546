"""What the bench prints: rows of figures, ratios, and the machine that they are of."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .measure import Run

MIB = 2**20
HEAD = f"{'':44} {'seconds: min':>12} {'median':>8} {'max':>8} {'CPU':>8}   peak MiB: itself, largest child"
RATIOS = f"{'ratios of seconds, taken within each round':70} {'min':>8} {'median':>8} {'max':>8}"
BUSY = 0.3
"""A load average above which something else is running."""


def describe_machine(folder: Path) -> list[str]:
    """Return lines on the machine, the versions that matter, and whether anything else is running."""
    processor = re.search(r"(?m)^model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    model = processor[1] if processor else platform.machine()
    kib = int(memory[1]) if memory else 0
    disk = first_line("findmnt", "-no", "FSTYPE,SOURCE", "-T", str(folder))
    xorriso = first_line("xorriso", "-version", match="xorriso version").split(":")[-1].strip()
    createrepo = first_line("createrepo_c", "--version").split()[1]
    lines = [
        f"machine   {os.cpu_count()} x {model}, {kib / MIB:.0f} GiB of memory, disk {' '.join(disk.split())}",
        f"system    {system_name()}, Linux {platform.release()}, Python {platform.python_version()}",
        f"programs  xorriso {xorriso}, dnf {first_line('dnf', '--version')}, createrepo_c {createrepo}",
    ]
    load = os.getloadavg()[0]
    if load > BUSY:
        lines.append(
            f"BUSY      load average {load:.1f}: other work slows all of this; trust ratios, not seconds"
        )
    return lines


def system_name() -> str:
    """Return the name of the distribution."""
    found = re.search(r'(?m)^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text())
    return found[1] if found else platform.system()


def first_line(*words: str, match: str = "") -> str:
    """Return the first line that a program prints, or the first with a text in it."""
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    return next((line for line in (done.stdout + done.stderr).splitlines() if match in line), "?")


def row(name: str, runs: Sequence[Run]) -> str:
    """Return the figures of one command."""
    seconds = [run.seconds for run in runs]
    cpu = statistics.median(run.cpu for run in runs)
    own = max(run.own_peak for run in runs)
    child = max(runs, key=lambda run: run.children_peak)
    children = f", {child.children_peak / MIB:.0f} {child.largest_child}" if child.children_peak else ""
    return f"{name:44} {spread(seconds, 12)} {cpu:8.2f}   {own / MIB:.0f}{children}"


def spread(values: Sequence[float], width: int = 8) -> str:
    """Return minimum, median and maximum."""
    return f"{min(values):{width}.2f} {statistics.median(values):8.2f} {max(values):8.2f}"


def parts(runs: Sequence[Run]) -> str:
    """Return where the time of a command went: the median of each part, the longest first."""
    names = dict.fromkeys(name for run in runs for name in run.parts)
    medians = {name: statistics.median(run.parts.get(name, 0.0) for run in runs) for name in names}
    shown = sorted(medians.items(), key=lambda item: -item[1])
    return "    " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in shown if seconds >= 0.005)


def ratio(name: str, ours: Sequence[Run], other: str, theirs: Sequence[Run]) -> str:
    """Return the ratio of two commands, round by round."""
    ratios = [one.seconds / two.seconds for one, two in zip(ours, theirs, strict=True)]
    return f"{name + ' / ' + other:70} {spread(ratios)}"
