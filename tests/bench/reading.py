"""What only reads: the command's start, `forja inspect` and `forja resolve`, beside dnf by itself."""

from __future__ import annotations

from pathlib import Path

from builder.ask.plan import make_plan
from builder.tools.iso import extract_folder

from . import table
from .cases import FORJA, PROFILE, Bench, Case, run_rounds

ABORTED = "Operation aborted"
"""What dnf ends with when it has solved everything and nobody says yes."""


def measure_reading(bench: Bench, rounds: int) -> list[str]:
    """Return the lines of the table."""
    cold, warm, again = (bench.folder / name for name in ("cold", "warm", "again"))
    dnf_cold, dnf_warm = (bench.folder / name for name in ("dnf-cold", "dnf-warm"))
    repositories = take_out_metadata(bench)
    alone_cold = Case(
        "dnf by itself, no cache",
        dnf(bench, repositories, dnf_cold),
        removed=[dnf_cold],
        accept=(1,),
        says=ABORTED,
    )
    alone = Case("dnf by itself", dnf(bench, repositories, dnf_warm), accept=(1,), says=ABORTED)
    resolve_cold = Case(
        "forja resolve, no cache, ISO on the disk",
        bench.forja("resolve", room=cold),
        cold=True,
        removed=[cold],
        room=cold,
    )
    resolve = Case("forja resolve", bench.forja("resolve", room=warm), removed=[warm / "build"], room=warm)
    cases = [
        Case("forja --version", [FORJA, "--version"]),
        Case("forja inspect, ISO on the disk", [FORJA, "inspect", bench.iso], cold=True),
        Case("forja inspect", [FORJA, "inspect", bench.iso]),
        alone_cold,
        alone,
        resolve_cold,
        resolve,
        Case("forja resolve, nothing changed", bench.forja("resolve", room=again)),
    ]
    runs = run_rounds(bench, cases, rounds)
    return [
        *(line for case in cases for line in (table.row(case.name, runs[case]), table.parts(runs[case]))),
        table.RATIOS,
        *(
            table.ratio(one.name, runs[one], two.name, runs[two])
            for one, two in ((resolve_cold, alone_cold), (resolve, alone))
        ),
    ]


def take_out_metadata(bench: Bench) -> Path:
    """Return a folder with the metadata of the ISO's repositories."""
    folder = bench.folder / "repositories"
    for name in ("BaseOS", "AppStream"):
        extract_folder(bench.iso, f"{name}/repodata", folder / name / "repodata")
    return folder


def dnf(bench: Bench, repositories: Path, root: Path) -> list[str | Path]:
    """Return a dnf that solves the same selection for an empty root, and goes no further.

    Its cache is in that root. It checks no signature, and ends with 1, for nobody says yes.
    """
    plan = make_plan(PROFILE, bench.site, "rhel-8.3", updates=True)
    options = {
        "reposdir": "/dev/null",
        "varsdir": "/dev/null",
        "install_weak_deps": "False",
        "best": "False",
        "plugins": "0",
        "module_platform_id": plan.platform.module_platform,
    }
    sources = {name: repositories / name for name in ("BaseOS", "AppStream")} | {"updates": bench.updates}
    return [
        *("dnf", "--assumeno", "--installroot", root, "--releasever=8", "--forcearch=x86_64", "--nogpgcheck"),
        *(f"--setopt={name}={value}" for name, value in options.items()),
        *(f"--repofrompath={name},file://{folder}" for name, folder in sources.items()),
        *(f"--exclude={name}" for name in plan.exclusion if not name.startswith("@")),
        *("install", *plan.selection),
    ]
