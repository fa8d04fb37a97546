"""A fleet: kickstarts and seeds a second, on one processor and on all, and where a kickstart's time goes."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from builder.ask.fleet import read_fleet
from builder.ask.plan import make_plan, read_draft
from builder.make.kickstart import check_kickstart, render_kickstart, render_storage, write_kickstart
from builder.make.overlay import write_overlay
from builder.room import Room
from builder.tools.console import say

from . import table
from .cases import FORJA, PROFILE, remove
from .measure import Run, measure

SERVERS = 500
T = TypeVar("T")
R = TypeVar("R")


def measure_fleet(folder: Path, rounds: int) -> list[str]:
    """Return the lines of the table."""
    servers, closed, output = write_servers(folder), make_closed_image(folder), folder / "fleet"
    words: list[str | Path] = ["--fleet", servers, "--output", output]
    kinds: dict[str, list[str | Path]] = {
        "kickstarts": ["kickstart", PROFILE, *words],
        "seeds": ["seed", closed, *words],
    }
    ours = sorted(os.sched_getaffinity(0))
    lines = []
    for kind, arguments in kinds.items():
        for processors in [ours[:1], ours] if len(ours) > 1 else [ours]:
            name = f"{SERVERS} {kind}, {len(processors)} processor{'s' if len(processors) > 1 else ''}"
            runs = []
            for number in range(rounds):
                remove(output)
                only = ",".join(map(str, processors))
                argv = ["taskset", "-c", only, FORJA, *arguments]
                runs.append(measure(argv, log=folder / "output.log"))
                say(f"round {number + 1} of {rounds}: {name}: {runs[-1].seconds:.2f} s")
            lines += [table.row(name, runs), rate(runs)]
    return [*lines, *measure_parts(folder, servers, rounds)]


def rate(runs: Sequence[Run]) -> str:
    """Return how many there are a second of the clock, and of one processor's own time."""
    seconds, cpu = (statistics.median(getattr(run, what) for run in runs) for what in ("seconds", "cpu"))
    both = f"{SERVERS / seconds:.0f} a second; {SERVERS / cpu:.0f} a second of processor time"
    return f"    {both}; start included"


def measure_parts(folder: Path, servers: Path, rounds: int) -> list[str]:
    """Return what making a kickstart takes in a process that has started, part by part, in processor time."""
    began = time.process_time()
    fleet, draft = read_fleet(servers, None), read_draft(PROFILE, "rhel-8.3")
    once = time.process_time() - began
    spent: dict[str, list[float]] = {}

    def each(part: str, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        began = time.process_time()
        results = [function(item) for item in items]
        spent.setdefault(part, []).append((time.process_time() - began) / len(items) * 1000)
        return results

    sites = [server.site for server in fleet.servers]
    write_kickstart(draft.plan(sites[0]), folder / "one.ks")  # what is kept for all is made
    for _ in range(rounds):
        plans = each("plan", draft.plan, sites)
        storages = each("storage", render_storage, plans)
        texts = each("render", lambda pair: render_kickstart(*pair), list(zip(plans, storages, strict=True)))
        each("validation", lambda pair: check_kickstart(*pair), list(zip(texts, storages, strict=True)))
        each("whole", lambda site: write_kickstart(draft.plan(site), folder / "one.ks"), sites)
    median = {part: statistics.median(values) for part, values in spent.items()}
    whole, rendered = median["whole"], median["storage"] + median["render"]
    rest = max(whole - median["plan"] - rendered - median["validation"], 0)
    shares = {
        "plan": median["plan"],
        "rendering": rendered,
        "validation": median["validation"],
        "writing and what is left": rest,
    }
    return [
        f"one kickstart, in processor time: {whole:.2f} ms, {1000 / whole:.0f} a second on one processor, "
        f"after {once:.2f} s to read table, profile and overlays",
        "    " + ", ".join(f"{part} {ms:.2f} ms ({ms / whole:.0%})" for part, ms in shares.items()),
    ]


def write_servers(folder: Path) -> Path:
    """Write the table of the fleet."""
    rows = ["host.name;network.address;network.gateway;mail.relayhost;mail.networks"]
    for number in range(SERVERS):
        net = f"10.{40 + number // 200}.{number % 200}"
        rows.append(
            f"relay{number:03d}.ejemplo.es;{net}.10/24;{net}.1;[mx.ejemplo.es]:25;{net}.0/24 10.99.0.0/16"
        )
    path = folder / "servers.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def make_closed_image(folder: Path) -> Path:
    """Return a folder with what seeds are made from: the plan and the overlay archive of a closed image."""
    plan = make_plan(PROFILE, None, "rhel-8.3", closed=True).without_server
    room = Room(folder / "closed", plan)
    write_overlay(plan, room.path("overlay"))
    room.path("plan").write_text(plan.model_dump_json(), encoding="utf-8")
    return room.folder
