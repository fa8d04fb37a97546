"""A command that is measured, in a known state of the caches, in rounds with others."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder.tools.console import say

from .measure import CommandFailed, Run, forget, measure

FORJA = Path(sys.executable).with_name("forja")
PROFILE = "clasificado"


@dataclass(frozen=True)
class Bench:
    """What the commands work on."""

    folder: Path
    iso: Path
    digest: str
    """The SHA-256 of the ISO."""
    updates: Path
    site: Path

    def forja(self, verb: str, *words: str | Path, room: Path) -> list[str | Path]:
        """Return `forja VERB PROFILE` on the ISO, with build and cache folders of its own."""
        inputs: list[str | Path] = ["--iso", self.iso, "--updates", self.updates, "--site", self.site]
        return [FORJA, verb, PROFILE, *inputs, "--build", room / "build", "--cache", room / "cache", *words]


@dataclass(frozen=True, eq=False)
class Case:
    """A command, and what is done before and after each run of it."""

    name: str
    argv: Sequence[str | Path]
    cold: bool = False
    """The ISO is dropped from the kernel's cache before; otherwise the command is run once, uncounted."""
    removed: Sequence[Path] = ()
    """Removed before the run that counts."""
    written: Sequence[Path] = ()
    """What it writes: waited for, as part of the time, until it is on the disk; then removed."""
    room: Path | None = None
    """The folder of a `forja resolve`, whose log says what dnf's time went into."""
    accept: Sequence[int] = (0,)
    says: str = ""
    """What its output must hold."""


Runs = dict[Case, list[Run]]


def run_rounds(bench: Bench, cases: Sequence[Case], rounds: int) -> Runs:
    """Run every case once a round, each round beginning with another one."""
    runs: Runs = {case: [] for case in cases}
    for number in range(rounds):
        start = number % len(cases)
        for case in (*cases[start:], *cases[:start]):
            run = run_case(bench, case)
            runs[case].append(run)
            say(f"round {number + 1} of {rounds}: {case.name}: {run.seconds:.2f} s")
    return runs


def run_case(bench: Bench, case: Case) -> Run:
    """Bring the caches into the state that the case is about, run it, and measure."""
    log = bench.folder / "output.log"
    if not case.cold:
        measure(case.argv, log=log, accept=case.accept)
    for path in case.removed:
        remove(path)
    os.sync()
    if case.cold:
        forget(bench.iso)
    run = measure(case.argv, written=case.written, log=log, accept=case.accept)
    for path in case.written:
        remove(path)
    if case.says not in run.output:
        raise CommandFailed(f"{case.name}: {run.output[-1500:]}")
    return split_solver(run, case.room) if case.room else run


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def split_solver(run: Run, room: Path) -> Run:
    """Return a run whose time in dnf is told apart, by the solver's own log."""
    parts = dict(run.parts)
    for log in room.glob("build/*/logs/packages.log"):
        for name, seconds in re.findall(r"(?m)^solver: (\w+) ([\d.]+) s$", log.read_text(encoding="utf-8")):
            parts[f"dnf {name}"] = float(seconds)
            parts["solver.py"] = parts.get("solver.py", 0.0) - float(seconds)
    return replace(run, parts=parts)
