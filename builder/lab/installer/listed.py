"""The resolved package list on the medium (/forja/packages.json): with it, exactly that is installed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from .dpkg import Evr, Installed
from .packages import Selection, needed_whatever
from .program import InstallError

LIST = Path("forja/packages.json")
SHOWN = 8  # names in an error message


def read_list(path: Path) -> dict[str, str] | None:
    """Return the list: name -> ``name-epoch:version-release.architecture``; None when there is no file.

    Args:
        path: a JSON object whose "packages" are objects with name, epoch, version, release and arch.

    Raises:
        InstallError: it is not that.
    """
    if not path.is_file():
        return None
    try:
        packages = json.loads(path.read_text(encoding="utf-8"))["packages"]
        listed = {item["name"]: f"{item['name']}-{_evr(item)}.{item['arch']}" for item in packages}
    except (ValueError, KeyError, TypeError) as error:
        raise InstallError(f"{path}: not a list of packages: {type(error).__name__}: {error}") from error
    if not listed or len(listed) != len(packages):
        raise InstallError(f"{path}: it lists no package, or one name twice")
    return listed


def _evr(item: Mapping[str, str]) -> Evr:
    return Evr(int(item["epoch"]), item["version"], item["release"])


def unlisted(
    installed: Mapping[str, Installed],
    listed: Mapping[str, str],
    selection: Selection,
    base: Iterable[str],
) -> list[str]:
    """Return the installed packages that the list does not have, sorted.

    Args:
        installed: the packages of the payload.
        listed: what `read_list` returned.
        selection: what the kickstart asks for; the list must agree with it.
        base: packages that no installation can do without, besides the essential ones.

    Raises:
        InstallError: the payload is not what the list says, or the list is not what kickstart and base say.
    """
    offered = {name: package.nevra for name, package in installed.items()}
    wrong = {
        "the medium has no": [listed[name] for name in listed if name not in offered],
        "the medium has another version of": [
            f"{listed[name]} ({offered[name]})"
            for name in listed
            if name in offered and listed[name] != offered[name]
        ],
        "%packages excludes": [name for name in listed if name in selection.unwanted],
        "%packages asks for what is not in it:": sorted(selection.wanted - set(listed)),
        "every installation needs what is not in it:": sorted(needed_whatever(installed, base) - set(listed)),
        "it lacks what its own packages need:": sorted(_open_needs(installed, listed)),
    }
    said = [f"{what} {_few(names)}" for what, names in wrong.items() if names]
    if said:
        raise InstallError(f"/{LIST}: {'; '.join(said)}")
    return sorted(set(installed) - set(listed))


def _open_needs(installed: Mapping[str, Installed], listed: Mapping[str, str]) -> Iterable[str]:
    """Give what dpkg would refuse to go without when the rest is taken out."""
    kept = [installed[name] for name in listed if name in installed]
    there = {name for package in kept for name in (package.name, *(item.name for item in package.provides))}
    for package in kept:
        for alternatives in package.needs:
            if not any(need.name in there for need in alternatives):
                yield f"{package.name} needs {' or '.join(need.name for need in alternatives)}"


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
