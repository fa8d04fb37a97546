"""Trimming: the medium without the packages that the resolved set does not need.

The metadata is the original's own, restricted by createrepo_c to what stays (`--update --skip-stat` with a
list of packages reads no RPM); comps, module streams and all else in it are kept, and every package stays
where it was. So the installer chooses the same set from it.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from pathlib import Path

from builder.make.medium.repository import write_metadata
from builder.make.resolution import UPDATES, Resolution
from builder.tools.errors import BadInput, StageFailed
from builder.tools.identity import Repository
from builder.tools.iso import Original, extract_folder, list_files


def trim_medium(
    original: Original, resolution: Resolution, tree: Path, *, epoch: int, log: Path
) -> list[str]:
    """Write the trimmed repositories' metadata into `tree`, and return the paths that the medium loses.

    Args:
        tree: a folder laid out as the medium; it gets each repository's new `repodata`.
        epoch: the time of what is new, seconds.

    Raises:
        BadInput: the set needs a package that is not on the medium: it was resolved on another one.
        StageFailed: createrepo_c made something else of the metadata.
    """
    needed = {package.location for package in resolution.packages if package.repository != UPDATES}
    files = list_files(original.path)
    absent = sorted(needed - set(files))
    if absent:
        raise BadInput(
            f"the resolved set needs {absent[0]}, which {original.path.name} does not have",
            hint="resolve again with this medium: the list is of another one",
        )
    for repository in original.repositories:
        restrict_metadata(original, repository, needed, tree, epoch=epoch, log=log)
    losing = {path for path in files if path.endswith(".rpm")} - needed
    return sorted([*losing, *(f"{repository.path}/repodata" for repository in original.repositories)])


def restrict_metadata(
    original: Original, repository: Repository, needed: Iterable[str], tree: Path, *, epoch: int, log: Path
) -> None:
    """Write the metadata of one repository for the needed packages alone."""
    folder = tree / repository.path
    extract_folder(original.path, f"{repository.path}/repodata", folder / "repodata")
    prefix = f"{repository.path}/"
    names = sorted(path.removeprefix(prefix) for path in needed if path.startswith(prefix))
    listing = folder / "packages.list"
    listing.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    options = ("--update", "--skip-stat", "--pkglist", listing)
    write_metadata(folder, *options, epoch=epoch, log=log)
    listing.unlink()
    left = count_packages(folder)
    if left != len(names):
        raise StageFailed(
            f"the metadata of {repository.id} has {left} packages after trimming, not {len(names)}",
            hint=f"see {log}",
        )


def count_packages(folder: Path) -> int:
    """Return how many packages the metadata of a repository says that it has.

    Raises:
        StageFailed: it has no list of packages.
    """
    repomd = (folder / "repodata" / "repomd.xml").read_text(encoding="utf-8")
    primary = re.search(r'<data type="primary">.*?<location href="([^"]+)"', repomd, re.DOTALL)
    if not primary:
        raise StageFailed(f"{folder}/repodata/repomd.xml names no list of packages")
    with gzip.open(folder / primary[1], "rt", encoding="utf-8") as file:
        head = file.read(1000)
    found = re.search(r'<metadata\b[^>]*\bpackages="(\d+)"', head)
    return int(found[1]) if found else 0
