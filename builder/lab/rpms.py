"""RPMs that stand for installed Debian packages: their names, versions and dependencies, and no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from builder.lab.installer.dpkg import Installed, Relation, rpm_version
from builder.tools.process import run

TOOL_SECONDS = 900
OPERATORS = {
    "<<": ("<", {-1}),
    "<=": ("<=", {-1, 0}),
    "=": ("=", {0}),
    ">=": (">=", {0, 1}),
    ">>": (">", {1}),
}
"""dpkg's operator -> RPM's, and what a comparison must come to."""

MACROS = {
    "_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    "_buildhost": "laboratorio",
    "_binary_payload": "w1.gzdio",
    "_binary_filedigest_algorithm": "8",
    "debug_package": "%{nil}",
    "use_source_date_epoch_as_buildtime": "1",
}

Order = Mapping[tuple[str, str], int]
"""Pairs of ``epoch:version-release`` -> -1, 0 or 1, as RPM compares them."""


def build_rpms(installed: Mapping[str, Installed], work: Path, *, log: Path, epoch: int) -> dict[str, Path]:
    """Build the RPMs that stand for Debian packages, by one run of rpmbuild; return their files by name."""
    order = compare_versions(version_pairs(installed), work)
    spec, out = work / "laboratorio.spec", work / "rpms"
    spec.write_text("\n".join(spec_lines(installed, order)) + "\n", encoding="utf-8")
    macros = {**MACROS, "_topdir": str(work / "top"), "_rpmdir": str(out)}
    argv: list[str | Path] = ["rpmbuild", "-bb", "--quiet", "--nodeps", "--target", "x86_64"]
    # A home of its own: a person's ~/.rpmmacros would have a say.
    env = {"HOME": str(work), "SOURCE_DATE_EPOCH": str(epoch)}
    run(
        [*argv, *defines(macros), spec],
        doing="build the laboratory's RPMs",
        log=log,
        env=env,
        timeout=TOOL_SECONDS,
    )
    return {name: out / _file_name(package) for name, package in installed.items()}


def spec_lines(installed: Mapping[str, Installed], order: Order) -> Iterator[str]:
    """Give the lines of a spec file with one subpackage a Debian package, and no package of its own."""
    yield from ("Name: laboratorio", "Version: 1", "Release: 1", "License: Apache-2.0", "Vendor: Forja")
    yield from ("Summary: Paquetes del laboratorio", "%description", "Nada.")
    versions = provided_versions(installed)
    for package in installed.values():
        epoch, version, release = package.evr
        yield from ("", f"%package -n {package.name}", f"Version: {version}", f"Release: {release}")
        if epoch:
            yield f"Epoch: {epoch}"
        if package.architecture == "all":
            yield "BuildArch: noarch"
        title = f"LABORATORIO, no es RHEL: hace las veces de {package.name} {package.version} de Debian"
        yield from (f"Summary: {title}", "AutoReqProv: no")
        for need in package.needs:
            if is_met(need, versions, order):
                yield f"Requires: {requirement(need)}"
            else:
                # dpkg found it met: RPM, which compares letters and signs in another order, would not.
                yield f"# without its versions, which RPM orders otherwise: {requirement(need)}"
                yield f"Requires: {requirement(tuple(Relation(item.name) for item in need))}"
        for provided in package.provides:
            yield f"Provides: {capability(provided)}"
        # Conflicts and Breaks have no say: whatever is on this medium is installed together in its payload.
        yield from (f"%description -n {package.name}", "Sin contenido.", f"%files -n {package.name}")


def requirement(need: tuple[Relation, ...]) -> str:
    """Return a dependency as RPM writes it; alternatives make a rich one."""
    words = " or ".join(capability(item) for item in need)
    return f"({words})" if len(need) > 1 else words


def capability(relation: Relation) -> str:
    """Return a package with its version, if it names one, as RPM writes it."""
    if not relation.operator:
        return relation.name
    return f"{relation.name} {OPERATORS[relation.operator][0]} {rpm_version(relation.version)}"


def is_met(need: tuple[Relation, ...], versions: Mapping[str, list[str]], order: Order) -> bool:
    """Say whether a package of the payload meets a dependency in RPM's eyes; dpkg says that one does."""
    return any(
        # What is provided without a version meets any that is required.
        not relation.operator
        or not version
        or order[version, str(rpm_version(relation.version))] in OPERATORS[relation.operator][1]
        for relation in need
        for version in versions.get(relation.name, ())
    )


def provided_versions(installed: Mapping[str, Installed]) -> dict[str, list[str]]:
    """Return what the payload provides: name -> versions as RPM has them, "" for none."""
    versions: dict[str, list[str]] = {}
    for package in installed.values():
        versions.setdefault(package.name, []).append(str(package.evr))
        for item in package.provides:
            version = str(rpm_version(item.version)) if item.version else ""
            versions.setdefault(item.name, []).append(version)
    return versions


def version_pairs(installed: Mapping[str, Installed]) -> list[tuple[str, str]]:
    """Return the versions to compare: one that is provided, and one that a dependency names."""
    versions = provided_versions(installed)
    return sorted(
        {
            (version, str(rpm_version(relation.version)))
            for package in installed.values()
            for need in package.needs
            for relation in need
            if relation.operator
            for version in versions.get(relation.name, ())
            if version
        }
    )


def compare_versions(pairs: list[tuple[str, str]], work: Path) -> Order:
    """Return how RPM itself orders versions; no other program knows for sure.

    Args:
        pairs: versions as ``epoch:version-release``, of the letters that dpkg allows.
        work: a folder for scratch files.
    """
    script = work / "compare.lua"
    script.write_text("".join(f'print(rpm.vercmp("{one}", "{two}") .. " ")\n' for one, two in pairs))
    argv = ["rpm", "--define", f"script {script}", "--eval", "%{lua:dofile(rpm.expand('%{script}'))}"]
    signs = run(argv, doing="compare versions as RPM does", timeout=TOOL_SECONDS).stdout.split()
    return {pair: int(sign) for pair, sign in zip(pairs, signs, strict=True)}


def defines(macros: Mapping[str, str]) -> list[str]:
    """Return macros as options of RPM's programs."""
    return [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]


def _file_name(package: Installed) -> str:
    return package.nevra.replace(f"-{package.evr.epoch}:", "-", 1) + ".rpm"
