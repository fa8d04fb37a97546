"""Many servers in one go: a file for each, checked, or nothing at all; and an index of them."""

from __future__ import annotations

import contextlib
import csv
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.ask.fleet import Fleet, Problem, Server
from builder.ask.plan import Draft
from builder.ask.site import EXAMPLE, Site
from builder.make.kickstart import write_kickstart
from builder.make.seed import SUFFIX, plan_site, write_seed
from builder.room import Room
from builder.seeds import open_image
from builder.tools.console import say, show_progress, step, warn
from builder.tools.errors import BadInput, StageFailed
from builder.tools.files import require_space, scratch, sha256
from builder.tools.parallel import processes_for, spread

INDEX = "index.csv"
"""Name, address, file and SHA-256 of each server."""
MACHINES = "machines.csv"
"""What packer/New-ForjaVM.ps1 takes as -Csv; people add its other columns."""
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
    output: Path
    """The folder, where the person names none."""
    machines: bool = False
    """Whether a list of them for packer/New-ForjaVM.ps1 is written too."""


@dataclass(frozen=True)
class Made:
    """The file of a server, in the folder of the fleet."""

    host: str
    address: str
    name: str
    digest: str


def kickstarts_of(draft: Draft) -> Kind:
    """Return the kind that is a kickstart a server, as RHEL 8 reads it."""

    def write(site: Site, path: Path) -> None:
        write_kickstart(draft.plan(site), path)

    return Kind("kickstarts", "Kickstart", ".ks", 2**16, write, Path(f"{draft.profile.name}.kickstarts"))


def seeds_of(folder: Path, sign_key: Path | None) -> Kind:
    """Return the kind that is a seed a server, for the closed image in a folder; the key signs each.

    Raises:
        BadInput: there is no closed image, or no such key.
    """
    room = Room.at(folder)
    image, sign = open_image(room, sign_key)

    def write(site: Site, path: Path) -> None:
        write_seed(image, plan_site(image, site), path, sign)

    return Kind("seeds", "Seed", SUFFIX, 2**20, write, Path(f"{room.plan.name}.semillas"), machines=True)


def write_fleet(fleet: Fleet, kind: Kind, folder: Path | None) -> Path:
    """Write a file for each server and the index into a new folder (`kind.output` if None); return the index.

    All is made in a folder beside it that takes its name at the end: it is whole or not there.

    Raises:
        BadInput: a line of the table is wrong (all of them are named), the folder is there and not empty, or
            it can't be written.
        StageFailed: a file could not be made; the message names the line.
    """
    folder = folder or kind.output
    final = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} is there already", hint="give another --output, or remove it")
    if fleet.base == EXAMPLE:
        warn(f"no --site was given: {EXAMPLE.name} lets nobody log in; good for a trial, not for servers")
    servers = fleet.servers
    began = time.monotonic()
    with step(f"{len(servers)} {kind.name}"), _writing(folder), scratch(final.parent, final.name) as work:
        require_space(work, len(servers) * kind.size, purpose=f"write {len(servers)} {kind.name}")
        problems, made = list(fleet.problems), list[Made]()

        def make(server: Server) -> Made | Problem:
            host = server.site.host.name.lower()
            name = f"{host}{kind.suffix}"
            try:
                kind.write(server.site, work / name)
            except BadInput as error:
                return Problem(server.line, "", " ".join(str(error).split()))
            except StageFailed as error:
                raise StageFailed(
                    f"{fleet.table}: line {server.line}: {error.message}", hint="try that server alone"
                ) from error
            return Made(host, str(server.site.network.address.ip), name, sha256(work / name))

        # Closed before the folder goes: no worker writes into it any longer.
        with contextlib.closing(spread(make, servers)) as results:
            for result in show_progress(results, len(servers), kind.name):
                if isinstance(result, Problem):
                    problems.append(result)
                else:
                    made.append(result)
        if problems:
            raise _refusal(fleet, problems)
        heads = ["Name", "Address", kind.column, "SHA256"]
        rows = [[one.host, one.address, one.name, one.digest] for one in made]
        _write_table(work / INDEX, heads, rows)
        if kind.machines:
            _write_table(work / MACHINES, ["Name", kind.column], [[row[0], row[2]] for row in rows])
        work.rename(final)
        seconds = time.monotonic() - began
        count = processes_for(len(servers))
        say(
            f"{len(made)} {kind.name} in {seconds:.1f} s: {len(made) / seconds:.0f} a second, "
            f"{count} process{'es' if count > 1 else ''}"
        )
    return folder / INDEX


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"{folder} can't be written: {error.strerror}", hint="give another --output"
        ) from error


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


def _write_table(path: Path, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([heads, *rows])
    path.chmod(0o600)
