"""The reference against the program: each key, option, artefact and exit code is in both."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from builder.ask.control import ControlFile
from builder.ask.overlay import OverlayFile
from builder.ask.plan import make_plan
from builder.ask.platform import Platform
from builder.ask.profile import Profile
from builder.ask.reading import REPOSITORY, Bilingual
from builder.ask.site import Site
from builder.cli import make_parser
from builder.make.findings import Verdict
from builder.room import Room
from builder.tools.errors import ExitCode

DOCS = REPOSITORY / "docs"
GIVEN = {"name", "source", "folder"}
"""Fields of the records themselves that come from the file's place, not from its text."""


def rows(page: str) -> Iterator[tuple[str, list[str]]]:
    """Give (heading, cells) of every table row whose first cell is in backticks."""
    heading = ""
    for line in (DOCS / "reference" / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ").strip()
        elif line.startswith("| "):
            cells = [cell.strip() for cell in line.strip("|").split(" |")]
            if cells[0].strip().startswith("`"):
                yield heading, cells


def records(annotation: Any) -> Iterator[type[BaseModel]]:
    """Give the records inside an annotation that are tables of their own in TOML."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation is not Bilingual:
            yield annotation
        return
    for part in get_args(annotation):
        yield from records(part)


def keys(model: type[BaseModel], table: str = "Top level", prefix: str = "") -> dict[tuple[str, str], bool]:
    """Return (table, key) -> required, for a record and those inside it."""
    found: dict[tuple[str, str], bool] = {}
    for name, field in model.model_fields.items():
        inner = list(records(field.annotation))
        if not inner:
            if table != "Top level" or name not in GIVEN:
                found[table, name] = field.is_required()
            continue
        if str(field.annotation).startswith("tuple"):
            if table == "Top level" and model is OverlayFile:
                found[table, name] = field.is_required()
            found |= keys(inner[0], f"`[[{prefix}{name}]]`", f"{prefix}{name}.")
        else:
            found |= keys(inner[0], f"`[{prefix}{name}]`", f"{prefix}{name}.")
    return found


@pytest.mark.parametrize(
    ("page", "models"),
    [
        ("site.md", [Site]),
        ("profile.md", [Profile]),
        ("platform.md", [Platform]),
        ("overlay.md", [OverlayFile, ControlFile]),
    ],
)
def test_every_key_is_explained(page: str, models: list[type[BaseModel]]) -> None:
    expected: dict[tuple[str, str], bool] = {}
    for model in models:
        expected |= keys(model)
    expected = {key: needed for key, needed in expected.items() if key[0] != "`[[dirs]]`"}
    documented = {(heading, cells[0].strip("` ")): cells[2] for heading, cells in rows(page)}
    assert set(documented) == set(expected)
    for key, needed in expected.items():
        assert (documented[key] == "required") == needed, key


def test_dirs_have_the_keys_of_files() -> None:
    found = keys(OverlayFile)
    assert {key for table, key in found if table == "`[[dirs]]`"} == {
        key for table, key in found if table == "`[[files]]`"
    }


def test_every_exit_code_is_explained() -> None:
    text = (DOCS / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    documented = {name: int(code) for code, name in re.findall(r"(?m)^\| (\d+) \| `(\w+)` \|", text)}
    assert documented == {code.name: int(code) for code in ExitCode}


def test_every_verdict_is_explained() -> None:
    assert {cells[0].strip("` ") for _, cells in rows("controls.md")} == {
        verdict.value for verdict in Verdict
    }


def test_every_artefact_is_explained(tmp_path: Path) -> None:
    plan = make_plan("clasificado", None, "laboratorio")
    made = {
        (name.replace(plan.name, "NAME").replace(plan.profile.name, "PROFILE"), stage)
        for stage, names in Room(tmp_path, plan).memory.stages.items()
        for name in names
    }
    assert {(cells[0].strip("` "), cells[1]) for _, cells in rows("artefacts.md")} == made


def test_every_verb_and_option_is_explained() -> None:
    verbs = next(
        action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    documented = {
        (heading.strip("`").split()[1], cells[0].strip("` ").split()[0]): cells[1].strip("`")
        for heading, cells in rows("cli.md")
        if heading.startswith("`forja ")
    }
    expected = {
        (verb, option): action.default
        for verb, parser in verbs.choices.items()
        for action in parser._actions
        for option in action.option_strings
        if option not in ("-h", "--help")
    }
    assert set(documented) == set(expected)
    for key, default in expected.items():
        shown = "off" if default is False else str(default)
        assert default is None or documented[key] == shown, key


def test_every_link_leads_somewhere() -> None:
    for page in [*DOCS.rglob("*.md"), REPOSITORY / "README.md"]:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)?(#[^)\s]*)?\)", text):
            path, anchor = target
            where = (page.parent / path) if path else page
            assert path.startswith("http") or where.exists(), f"{page}: {path}"
            if anchor and where.suffix == ".md":
                titles = re.findall(r"(?m)^#+ (.*)$", where.read_text(encoding="utf-8"))
                slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
                assert anchor[1:] in slugs, f"{page}: {anchor}"


def test_every_page_is_reached_from_the_index() -> None:
    """From the index itself, or from that of the page's folder, which the index names."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        own = page.parent / "index.md"
        if page == own:
            assert page.parent == DOCS or f"({page.relative_to(DOCS)})" in index, page
        elif own.exists() and own.parent != DOCS:
            assert f"({page.name})" in own.read_text(encoding="utf-8"), page
        else:
            assert f"({page.relative_to(DOCS)})" in index, page
