"""Repositories on the medium, as the dnf of RHEL 8.3 reads them, by createrepo_c.

createrepo_c 1.0 and later compresses with zstd, which libsolv and librepo of 8.3 don't know: gzip is said
explicitly, and so are SHA-256 and the times, so that the same packages give the same bytes.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from builder.make.resolution import Package
from builder.tools.errors import BadInput
from builder.tools.files import sha256
from builder.tools.process import Argument, run

OPENERS: dict[str, Callable[..., Any]] = {
    ".yaml": open,
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}


def stage_updates(updates: Path, packages: Iterable[Package], folder: Path, *, epoch: int, log: Path) -> None:
    """Make a repository of the packages that were brought and resolved, and of no others.

    Args:
        updates: the folder that was brought; each package's location is relative to it.
        packages: those of the resolution.
        folder: where the repository goes; it must not exist.
        epoch: the time of everything in it, seconds.

    Raises:
        BadInput: an RPM is not the one that was resolved.
    """
    folder.mkdir(parents=True)
    for package in packages:
        source, target = updates / package.location, folder / package.location
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise BadInput(f"{source} can't be read: {error.strerror}", hint="check UPDATES=") from error
        if sha256(target) != package.sha256:
            raise BadInput(
                f"{source} is no longer the package that was resolved",
                hint="leave the folder of updates alone while a medium is made of it, and run it again",
            )
        os.utime(target, (epoch, epoch))
    write_metadata(folder, epoch=epoch, log=log)
    modules = sorted(updates.glob("**/*modules.yaml*"))
    if modules:
        # dnf refuses an RPM of a module whose stream no repository describes.
        merged = merge_modules(modules, folder / "modules.yaml")
        argv: list[Argument] = ["modifyrepo_c", "--compress-type=gz", merged, folder / "repodata"]
        run(argv, doing="add the module streams to the updates", log=log)
        merged.unlink()
        # Once more, for modifyrepo_c writes the time of day.
        write_metadata(folder, "--update", "--skip-stat", epoch=epoch, log=log)


def write_metadata(folder: Path, *options: Argument, epoch: int, log: Path) -> None:
    """Write a repository's metadata, keeping what it has of comps, modules and the like.

    Args:
        options: further ones of createrepo_c.
        epoch: the only time in it, seconds.
    """
    fixed = [
        *("--quiet", "--error-exit-val", "--no-database", "--keep-all-metadata", "--checksum=sha256"),
        *("--general-compress-type=gz", f"--revision={epoch}", "--set-timestamp-to-revision"),
    ]
    run(["createrepo_c", *fixed, *options, folder], doing=f"make a repository of {folder.name}", log=log)


def merge_modules(paths: Iterable[Path], target: Path) -> Path:
    """Write one file of all module streams: a repository has one, a folder of several mirrors more.

    Raises:
        BadInput: a file is damaged, or compressed in a way that RHEL 8.3 does not read either.
    """
    with target.open("wb") as out:
        for path in paths:
            opener = OPENERS.get(path.suffix)
            if opener is None:
                raise BadInput(
                    f"{path} is compressed as RHEL 8.3 does not read it", hint="bring it as modules.yaml"
                )
            try:
                with opener(path, "rb") as file:
                    shutil.copyfileobj(file, out)
            except (OSError, EOFError, lzma.LZMAError) as error:
                raise BadInput(f"{path} can't be read: {error}", hint="bring it again") from error
            out.write(b"\n")
    return target
