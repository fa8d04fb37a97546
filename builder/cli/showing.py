"""What was made and seen, as lines for people."""

from __future__ import annotations

from collections import Counter

from builder.ask.plan import Plan
from builder.make.findings import Findings, Verdict
from builder.make.resolution import Resolution
from builder.room import Room


def list_packages(resolution: Resolution) -> list[str]:
    """Return a set as lines for people: each package and why, then keys and advisories."""
    width = max((len(package.nevra) for package in resolution.packages), default=0)
    lines = [
        f"{package.nevra:{width}}  {package.repository:15}  {package.size / 1024:9.0f} KiB  {package.reason}"
        for package in resolution.packages
    ]
    signed = Counter(package.signer for package in resolution.packages)
    for signer in resolution.signers:
        own = " (the organisation's own)" if signer.own else ""
        lines.append(
            f"signed by {signer.fingerprint} {signer.name}{own}: {signed[signer.fingerprint]} packages"
        )
    for advisory in resolution.advisories:
        because = f": {advisory.because}" if advisory.because else ""
        severity = f" ({advisory.severity})" if advisory.severity else ""
        lines.append(f"{advisory.state}: {advisory.id} {advisory.kind}{severity} {advisory.title}{because}")
    return lines


def summarize(room: Room, findings: Findings) -> None:
    """Print what was made, what was seen, and (loudly) what a laboratory image is not."""
    for name in sorted(name for names in room.memory.stages.values() for name in names):
        if (room.folder / name).exists():
            print(room.folder / name)
    print(room.logs)
    show_sums(room.plan, findings)
    mark = room.plan.platform.mark
    if mark:
        print(f"\n*** {mark.es} ***")


def show_sums(plan: Plan, findings: Findings) -> None:
    """Print how many controls hold, fail, and so on."""
    sums = findings.sums(plan.controls)
    print(
        f"controls: {sum(sums.values())}: {sums[Verdict.HOLDS]} hold, {sums[Verdict.FAILS]} fail, "
        f"{sums[Verdict.NOT_VERIFIED]} not verified, {sums[Verdict.MANUAL]} manual, "
        f"{sums[Verdict.NOT_APPLICABLE]} not applicable"
    )
