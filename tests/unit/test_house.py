"""The house: imports run down only, and no stage knows another."""

from __future__ import annotations

import ast
from pathlib import Path

import builder

ROOT = Path(builder.__file__).parent
MAY_IMPORT = {
    "cli": {"pipeline", "verify", "seeds", "fleet", "request", "room", "doctor", "make", "ask", "tools"},
    "fleet": {"seeds", "room", "make", "ask", "tools"},
    "verify": {"seeds", "room", "make", "ask", "tools"},
    "pipeline": {"seeds", "request", "room", "make", "ask", "tools"},
    "seeds": {"room", "make", "ask", "tools"},
    "request": {"make", "ask", "tools", "lab"},
    "room": {"make", "ask", "tools"},
    "doctor": {"tools"},
    "make": {"ask", "tools"},
    "ask": {"tools"},
    "lab": {"tools"},
    "tools": set(),
}
SHARED = {"findings", "layout", "overlay", "resolution"}
"""Artefacts that go from one stage to the next; all others are a stage's own."""


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("builder."):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("builder.")}
    return found


def sources() -> list[Path]:
    return [path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem != "__init__"]


def test_arrows_run_down_only() -> None:
    wrong = []
    for path in sources():
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for module in imports(path):
            target = module.split(".")[1]
            if target != room and target not in MAY_IMPORT[room]:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_no_stage_knows_another() -> None:
    wrong = []
    for path in (ROOT / "make").rglob("*.py"):
        stage = path.relative_to(ROOT / "make").parts[0].removesuffix(".py")
        for module in imports(path):
            parts = module.split(".")
            if parts[1] == "make" and len(parts) > 2 and parts[2] not in SHARED | {stage}:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_programs_are_run_in_one_place() -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in sources()
        if "subprocess" in path.read_text(encoding="utf-8")
        and "installer" not in path.parts
        and "live" not in path.parts
        and "program" not in path.parts
    }
    assert users == {"tools/process.py"}
