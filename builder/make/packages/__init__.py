"""The packages: the whole set that the installer will choose, solved and checked before any machine starts.

The repositories of the DVD and what was brought besides it are solved by dnf, as the installer will; every
RPM that was brought and every one that is chosen is held against the keys that are believed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from builder.ask.plan import Plan
from builder.make.packages.advisories import judge_advisories
from builder.make.packages.explain import missing, reason_words, unsolvable
from builder.make.packages.keys import Key, trusted_keys
from builder.make.packages.lock import hold_to_lock
from builder.make.packages.rpms import Place, Rpm, ask_system_python, read_rpms
from builder.make.resolution import UPDATES, Package, Resolution, Signer
from builder.tools.console import warn
from builder.tools.errors import BadInput
from builder.tools.files import scratch
from builder.tools.iso import Original, extract_folder, list_files
from builder.tools.process import run

__all__ = ["hold_to_lock", "resolve_packages", "warn_of_own_keys"]

SOLVER = Path(__file__).with_name("solver.py")
KINDS = ("updateinfo", "modules")
KEPT = 3
"""DVDs and folders of updates whose metadata stays in the cache."""


def resolve_packages(
    plan: Plan, original: Original, updates: Path | None, *, cache: Path, log: Path
) -> Resolution:
    """Return the set that the installer will choose from a DVD and a folder of updates.

    Args:
        original: the DVD.
        updates: a folder with RPMs and, where there are any, their updateinfo and modules metadata; or None.
        cache: a folder for what dnf makes of the DVD's metadata.
        log: where the programs' output goes.

    Raises:
        BadInput: a package is missing, damaged, unsigned or signed by somebody else; or they can't be
            installed together.
        HostUnready: dnf or rpm is not on this host.
    """
    with scratch(cache, "packages") as work:
        files = list_files(original.path)
        keys = trusted_keys(plan, key_files(plan, original, files, updates, work), work)
        brought = read_updates(updates, keys, work, log)
        answer = solve(plan, original, updates, cache, work, log)
        if answer["fault"]:
            raise BadInput(
                f"a repository of {original.path.name} or of UPDATES can't be read: {answer['fault']}",
                hint="compare the DVD's SHA-256 with the publisher's",
            )
        if answer["missing"]:
            raise missing(plan, answer["missing"], answer["versions"])
        if answer["problems"]:
            raise unsolvable(answer["problems"])
        paths = {package["name"]: path_of(package, original) for package in answer["packages"]}
        places = [
            place_of(original, paths[package["name"]], files)
            for package in answer["packages"]
            if package["repository"] != UPDATES
        ]
        chosen = {rpm.place.name: rpm for rpm in read_rpms(places, keys, work, log)}
    rpms = {**chosen, **{rpm.place.name: rpm for rpm in brought}}
    packages = tuple(
        describe(package, paths[package["name"]], rpms, plan, original) for package in answer["packages"]
    )
    signers = list_signers([rpms[package.location].key for package in packages], brought)
    return Resolution(
        medium=original.volume_id,
        packages=packages,
        signers=signers,
        advisories=judge_advisories(answer["advisories"], plan),
    )


def key_files(
    plan: Plan, original: Original, files: Mapping[str, tuple[int, int]], updates: Path | None, work: Path
) -> list[Path]:
    """Return the key files at hand: those that the platform names on the DVD, those beside the updates."""
    names = sorted({key.file for key in plan.platform.keys if key.file in files})
    found = [extract_folder(original.path, name, work / "keys" / name) for name in names]
    return found + sorted(updates.glob("**/RPM-GPG-KEY-*") if updates else ())


def read_updates(updates: Path | None, keys: Sequence[Key], work: Path, log: Path) -> list[Rpm]:
    """Check every RPM that was brought, chosen or not."""
    if updates is None:
        return []
    paths = sorted(updates.glob("**/*.rpm"))
    if not paths:
        raise BadInput(f"UPDATES {updates} holds no .rpm file", hint="give the folder of RPMs")
    places = [Place(str(path.relative_to(updates)), path, 0, path.stat().st_size) for path in paths]
    return read_rpms(places, keys, work, log)


def solve(
    plan: Plan, original: Original, updates: Path | None, cache: Path, work: Path, log: Path
) -> dict[str, Any]:
    """Ask dnf for the selection of the plan."""
    metadata = keep_metadata(original, cache)
    repositories = {repository.id: str(metadata / repository.id) for repository in original.repositories}
    if updates is not None:
        repositories |= keep_updates_metadata(updates, cache, log)
    request = {
        "repositories": repositories,
        "arch": original.arch,
        "releasever": original.version.split(".")[0],
        "platform_id": plan.platform.module_platform,
        "install": plan.selection,
        "exclude": plan.exclusion,
        "about": list(plan.pins),
        "weak": False,
        "work": str(metadata / "dnf"),
    }
    answer: Any = ask_system_python(SOLVER, request, work, log, doing="solve the packages with dnf")
    found: dict[str, Any] = answer
    return found


def keep_metadata(original: Original, cache: Path) -> Path:
    """Return a folder with the repodata of a DVD, taken out of it once."""

    def take_out(folder: Path) -> None:
        for repository in original.repositories:
            extract_folder(original.path, f"{repository.path}/repodata", folder / repository.id / "repodata")

    return keep(cache, "metadata", original.volume_id + fingerprint([original.path], original.path), take_out)


def keep_updates_metadata(updates: Path, cache: Path, log: Path) -> dict[str, str]:
    """Return repositories of what was brought, id to folder; the folder of updates is not touched.

    What mirrors had besides packages is kept: advisories (updateinfo) and module streams. A repository holds
    one of each, so that every such file gets one of its own, without packages.
    """

    def make(folder: Path) -> None:
        describe_repository(updates, folder / UPDATES, log)
        found = [(kind, path) for kind in KINDS for path in sorted(updates.glob(f"**/*{kind}.*"))]
        empty = folder / "empty"
        empty.mkdir()
        for number, (kind, path) in enumerate(found):
            target = folder / f"{UPDATES}-{number}"
            describe_repository(empty, target, log)
            argv: list[str | Path] = ["modifyrepo_c", f"--mdtype={kind}", path, target / "repodata"]
            run(argv, doing=f"read {path}", log=log)
        empty.rmdir()

    files = sorted(path for path in updates.rglob("*") if path.is_file())
    made = keep(cache, "updates", fingerprint(files, updates), make)
    return {path.name: str(path) for path in made.iterdir()}


def describe_repository(packages: Path, folder: Path, log: Path) -> None:
    """Write the metadata of a folder of packages into another one."""
    folder.mkdir()
    argv: list[str | Path] = ["createrepo_c", "--quiet", "--no-database", "--outputdir", folder, packages]
    run(argv, doing="make a repository of the updates", log=log)


def keep(cache: Path, kind: str, identity: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, made when it is not there; the oldest of its kind go."""
    folder = cache / f"{kind}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        with scratch(cache, kind) as partial:
            made = partial / kind
            made.mkdir()
            make(made)
            with contextlib.suppress(FileExistsError, OSError):  # another run was faster
                made.rename(folder)
    os.utime(folder)
    for old in sorted(cache.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def fingerprint(files: Sequence[Path], base: Path) -> str:
    """Return what tells files apart without reading them: name, size and time of change."""
    stats = [(path.relative_to(base), path.stat()) for path in files]
    return "".join(f"{name} {status.st_size} {status.st_mtime_ns}\n" for name, status in stats)


def path_of(package: Mapping[str, Any], original: Original) -> str:
    """Return where a package lies: from the root of the DVD, or from the folder of updates."""
    base = next((item.path for item in original.repositories if item.id == package["repository"]), "")
    return f"{base}/{package['location']}".strip("/")


def place_of(original: Original, path: str, files: Mapping[str, tuple[int, int]]) -> Place:
    """Return where on the DVD's ISO a file lies.

    Raises:
        BadInput: the DVD's metadata names it, and it is not there.
    """
    if path not in files:
        raise BadInput(
            f"{original.path.name} lacks {path}, which its own repository names",
            hint="the DVD is damaged: compare its SHA-256 with the publisher's",
        )
    offset, size = files[path]
    return Place(path, original.path, offset, size)


def describe(
    package: Mapping[str, Any], path: str, rpms: Mapping[str, Rpm], plan: Plan, original: Original
) -> Package:
    """Return one package of the set, as it was read from its RPM.

    Raises:
        BadInput: the RPM is not the one that the repository's metadata describes.
    """
    rpm = rpms[path]
    kind, digest = package["checksum"]
    if kind == "sha256" and digest != rpm.sha256:
        raise BadInput(
            f"{path} is not the package that the repository of {original.path.name} describes: "
            "the digests differ",
            hint="the DVD is damaged or was changed: compare its SHA-256 with the publisher's",
        )
    return Package(
        name=package["name"],
        epoch=package["epoch"],
        version=package["version"],
        release=package["release"],
        arch=package["arch"],
        repository=package["repository"],
        location=path,
        size=rpm.place.size,
        sha256=rpm.sha256,
        signer=rpm.key.fingerprint,
        reason=reason_words(plan, *package["reason"]),
    )


def list_signers(keys: Sequence[Key], brought: Sequence[Rpm]) -> tuple[Signer, ...]:
    """Return the keys by which anything of the set, or brought, is signed."""
    used = {key.fingerprint: key for key in (*keys, *(rpm.key for rpm in brought))}
    return tuple(
        Signer(fingerprint=key.fingerprint, name=key.name, ids=tuple(sorted(key.ids)), own=key.own)
        for _, key in sorted(used.items())
    )


def warn_of_own_keys(resolution: Resolution) -> None:
    """Say loudly which packages no vendor signed."""
    for signer in resolution.signers:
        names = [package.name for package in resolution.packages if package.signer == signer.fingerprint]
        if signer.own and names:
            shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
            warn(
                f"{len(names)} packages are signed by the organisation's own key, not by a vendor: "
                f"{signer.name} {signer.fingerprint}: {shown}"
            )
