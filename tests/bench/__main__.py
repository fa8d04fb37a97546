"""`make bench`: measure the commands on a DVD of RHEL 8.3's size, and print one table.

Each round runs every command once, ours and the others', and begins with another one than the round before;
ratios are taken within a round. Nothing in here fails for being slow.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from builder.ask.site import EXAMPLE
from builder.tools.console import say, step
from builder.tools.errors import ExitCode, ForjaError
from builder.tools.files import require_space, sha256
from builder.tools.process import run
from tests.media.keys import write_trusting_site
from tests.media.rhel83 import make_kit

from . import table
from .cases import Bench
from .fleet import measure_fleet
from .image import measure_image
from .looking import measure_looking
from .measure import CommandFailed
from .reading import measure_reading
from .writing import measure_writing

REPOSITORY = Path(__file__).resolve().parents[2]
GIB = 2**30
ROOM = 2.3
"""Of the DVD's size: the DVD with the tree that it is made of, and then with one copy of it."""
FEWEST = 1000
"""Packages on the DVD: more than the kit has."""


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is asked for, print it, and remove all that was made."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure Forja.")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "build" / "bench")
    parser.add_argument("--cache", type=Path, default=REPOSITORY / ".cache", help="folder of the test kit")
    parser.add_argument("--runs", type=int, default=3, help="rounds; what only reads has twice as many")
    parser.add_argument("--packages", type=int, default=8000, help="packages on the DVD")
    parser.add_argument("--gib", type=float, default=8.5, help="their size")
    parser.add_argument("--keep", action="store_true", help="leave the DVD for the next time")
    parser.add_argument("--image", nargs=argparse.REMAINDER, help="time a build too: words of `forja image`")
    parser.add_argument("--fleet", action="store_true", help="make kickstarts and seeds of a fleet, only")
    parser.add_argument("--look", type=Path, metavar="FOLDER", help="look at a built image in two ways, only")
    arguments = parser.parse_args(words)
    if arguments.packages < FEWEST:
        parser.error(f"the DVD has {FEWEST} packages at least")
    folder: Path = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.INTERRUPTED))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
    try:
        lines = bench(folder, arguments)
    except (ForjaError, CommandFailed) as error:
        say(f"error: {error}")
        return error.exit_code if isinstance(error, ForjaError) else ExitCode.STAGE_FAILED
    finally:
        for path in folder.iterdir():
            if path.name != "dvd":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not arguments.keep:
            shutil.rmtree(folder)
    print("\n".join(lines))
    return ExitCode.OK


def bench(folder: Path, arguments: argparse.Namespace) -> list[str]:
    """Return what is to be printed."""
    machine = table.describe_machine(folder)
    if arguments.look is not None:
        with step("Looking"):
            return [*machine, "", *measure_looking(arguments.look, arguments.runs)]
    with step("A fleet"):
        fleet = [table.HEAD, *measure_fleet(folder, arguments.runs)]
    if arguments.fleet:
        return [*machine, "", *fleet]
    with step("The bench's DVD"):
        made = prepare(folder, arguments)
        size = made.iso.stat().st_size / GIB
    lines = [*machine, f"DVD       {size:.1f} GiB, {arguments.packages} packages", "", *fleet, "", table.HEAD]
    with step("Reading"):
        lines += [*measure_reading(made, 2 * arguments.runs), "", table.HEAD]
    with step("Writing"):
        lines += measure_writing(made, arguments.runs)
    if arguments.image is not None:
        with step("A build"):
            lines += ["", table.HEAD, *measure_image(folder, arguments.image)]
    return lines


def prepare(folder: Path, arguments: argparse.Namespace) -> Bench:
    """Return what the commands work on: made now, or kept from an earlier bench."""
    iso = folder / "dvd" / "dvd.iso"
    (folder / "tmp").mkdir()
    kit = make_kit(arguments.cache.resolve())
    payload = int(arguments.gib * GIB)
    require_space(folder, int(payload * ROOM), purpose="make the bench's DVD and copies of it")
    if not iso.exists():
        shutil.rmtree(iso.parent, ignore_errors=True)
        iso.parent.mkdir()
        say(f"{arguments.packages} packages, {arguments.gib} GiB: takes some minutes")
        # In a process of its own: the memory that it takes goes with it.
        words: list[str | Path] = [iso.parent, kit.key.home, str(arguments.packages), str(payload)]
        argv = [sys.executable, "-m", "tests.bench.medium", *words]
        run(argv, doing="make the bench's DVD", cwd=REPOSITORY, log=folder / "dvd.log")
    site = write_trusting_site(folder, EXAMPLE, kit.key)
    return Bench(folder, iso, sha256(iso), kit.erratum, site)


if __name__ == "__main__":
    sys.exit(main())
