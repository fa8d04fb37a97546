"""What reads the whole ISO or writes one: `forja medium`, beside other ways to copy it."""

from __future__ import annotations

from dataclasses import replace

from . import table
from .cases import FORJA, Bench, Case, run_rounds


def measure_writing(bench: Bench, rounds: int) -> list[str]:
    """Return the lines of the table. Every run finds the ISO on the disk, not in memory."""
    copy, room, trimmed = bench.folder / "copy.iso", bench.folder / "medium", bench.folder / "trimmed"
    replay = ["-boot_image", "any", "replay", "-changes_pending", "yes", "-commit_eject", "none"]
    cp = Case("cp", ["cp", "--reflink=never", bench.iso, copy], written=[copy])
    plain = Case(
        "xorriso, plain copy",
        ["xorriso", "-indev", bench.iso, "-check_media", "use=indev", "what=disc", f"data_to={copy}", "--"],
        written=[copy],
    )
    same = Case(
        "xorriso, boot set-up replayed",
        ["xorriso", "-indev", bench.iso, "-outdev", copy, *replay],
        written=[copy],
    )
    by_hand = Case(
        "the same, then implantisomd5",
        ["sh", "-c", 'copy=$1; shift; "$@" && implantisomd5 --force "$copy"', "sh", copy, *same.argv],
        written=[copy],
    )
    sums = Case("sha256sum", ["sha256sum", bench.iso])
    inspect = Case("forja inspect --sha256", [FORJA, "inspect", bench.iso, "--sha256", bench.digest])
    medium = Case("forja medium", bench.forja("medium", room=room), written=[room])
    trim = Case("forja medium --trim", bench.forja("medium", "--trim", room=trimmed), written=[trimmed])
    cases = [replace(case, cold=True) for case in (cp, plain, same, by_hand, medium, trim, sums, inspect)]
    cp, plain, same, by_hand, medium, trim, sums, inspect = cases
    runs = run_rounds(bench, cases, rounds)
    lines = [line for case in cases for line in (table.row(case.name, runs[case]), table.parts(runs[case]))]
    lines.append(table.RATIOS)
    for ours in (medium, trim):
        lines += [
            table.ratio(ours.name, runs[ours], case.name, runs[case]) for case in (cp, plain, same, by_hand)
        ]
    return [*lines, table.ratio(inspect.name, runs[inspect], sums.name, runs[sums])]
