"""Many servers in one go: a file for each, checked, or nothing at all; and an index of them."""

from __future__ import annotations

import contextlib
import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.ask.fleet import Fleet, Problem, Server
from builder.ask.plan import Draft
from builder.ask.site import Site
from builder.make.kickstart import write_kickstart
from builder.make.seed import Image, Sign, plan_site, write_seed
from builder.tools.console import say, show_progress, step
from builder.tools.errors import BadInput, ForjaError
from builder.tools.files import finished, require_space, scratch, sha256
from builder.tools.parallel import processes_for, spread

INDEX = "index.csv"
SHOWN = 50
"""Problems that are shown; of the others, how many there are."""


@dataclass(frozen=True)
class Kind:
    """What is made for each server."""

    name: str
    """In the plural, as the person reads it."""
    column: str
    """Of the index, with the file's name."""
    suffix: str
    size: int
    """Bytes of one at the most, for the space on the disk that is asked for."""
    write: Callable[[Site, Path], object]
    """Write the file of a server; raises ForjaError."""


@dataclass(frozen=True)
class Made:
    """The file of a server, in the folder of the fleet."""

    site: Site
    name: str
    digest: str


def kickstarts_of(draft: Draft) -> Kind:
    """Return the kind that is a kickstart a server, as RHEL 8 reads it."""

    def write(site: Site, path: Path) -> None:
        write_kickstart(draft.plan(site), path)

    return Kind("kickstarts", "Kickstart", ".ks", 2**16, write)


def seeds_of(image: Image, sign: Sign | None) -> Kind:
    """Return the kind that is a seed a server, for a closed image; `sign` signs each."""

    def write(site: Site, path: Path) -> None:
        write_seed(image, plan_site(image, site), path, sign)

    return Kind("seeds", "Seed", ".semilla.iso", 2**20, write)


def write_fleet(fleet: Fleet, kind: Kind, folder: Path) -> Path:
    """Write a file for each server and the index into a new folder; return the index.

    All is made in a folder beside it that takes its name at the end: it is whole or not there.

    Raises:
        BadInput: a line of the table is wrong (all of them are named), or the folder is there and not empty.
    """
    final = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} is there already", hint="give another --output, or remove it")
    servers = fleet.servers
    require_space(final.parent, len(servers) * kind.size, purpose=f"write {len(servers)} {kind.name}")
    began = time.monotonic()
    with step(f"{len(servers)} {kind.name}"), scratch(final.parent, final.name) as work:
        problems, made = list(fleet.problems), list[Made]()

        def make(server: Server) -> Made | Problem:
            name = f"{server.site.host.name.lower()}{kind.suffix}"
            try:
                kind.write(server.site, work / name)
            except ForjaError as error:
                return Problem(server.line, "", " ".join(str(error).split()))
            return Made(server.site, name, sha256(work / name))

        # Closed before the folder goes: no worker writes into it any longer.
        with contextlib.closing(spread(make, servers)) as results:
            for result in show_progress(results, len(servers), kind.name):
                if isinstance(result, Problem):
                    problems.append(result)
                else:
                    made.append(result)
        if problems:
            raise _refusal(fleet, problems)
        _write_index(kind, made, work / INDEX)
        work.rename(final)
        seconds = time.monotonic() - began
        count = processes_for(len(servers))
        say(
            f"{len(made)} {kind.name} in {seconds:.1f} s: {len(made) / seconds:.0f} a second, "
            f"{count} process{'es' if count > 1 else ''}"
        )
    return folder / INDEX


def _refusal(fleet: Fleet, problems: Sequence[Problem]) -> BadInput:
    """Return the error for lines that are wrong, each of which is shown now."""
    ordered = sorted(problems, key=lambda problem: problem.line)
    for problem in ordered[:SHOWN]:
        say(f"{fleet.table if problem.line else fleet.base}: {problem}")
    if len(ordered) > SHOWN:
        say(f"and {len(ordered) - SHOWN} more")
    lines = len({problem.line for problem in ordered if problem.line})
    where = f"{lines} line{'s' if lines != 1 else ''} of {fleet.table}" if lines else f"{fleet.base}"
    return BadInput(f"{where} can't be used", hint="nothing was written; correct what is named above")


def _write_index(kind: Kind, made: Sequence[Made], path: Path) -> None:
    with finished(path) as partial:
        with partial.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["Name", "Address", kind.column, "SHA256"])
            for one in made:
                rows.writerow([one.site.host.name.lower(), one.site.network.address.ip, one.name, one.digest])
        partial.chmod(0o600)
