"""Which published advisories (updateinfo) the set holds, and which it leaves out, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from builder.ask.plan import Plan
from builder.make.resolution import Advisory


def judge_advisories(found: Sequence[Mapping[str, Any]], plan: Plan) -> tuple[Advisory, ...]:
    """Return the advisories with what became of each.

    Args:
        found: the solver's answer: each with its packages as [name, evr, arch, state], state one of held,
            older and absent.
    """
    return tuple(judge(advisory, plan) for advisory in found)


def judge(advisory: Mapping[str, Any], plan: Plan) -> Advisory:
    """Return one advisory: left out when the set holds an older package, held when it holds the fix."""
    by_state: dict[str, list[Sequence[str]]] = {"older": [], "held": [], "absent": []}
    for package in advisory["packages"]:
        by_state[package[3]].append(package)
    older, held = by_state["older"], by_state["held"]
    deciding = older or held or by_state["absent"]
    return Advisory(
        id=advisory["id"],
        kind=advisory["kind"],
        severity=advisory["severity"],
        title=advisory["title"],
        issued=advisory["issued"],
        cves=tuple(sorted(advisory["cves"])),
        state="left out" if older else "held" if held else "not concerned",
        packages=tuple(f"{name}-{evr}.{arch}" for name, evr, arch, _ in deciding),
        because="; ".join(dict.fromkeys(why(name, plan) for name, *_ in older)),
    )


def why(name: str, plan: Plan) -> str:
    """Return why a newer package of this name was not chosen."""
    if name in plan.pins:
        return f"{name} is pinned to {plan.pins[name]}"
    return f"the newer {name} can't be installed with the rest of the set"
