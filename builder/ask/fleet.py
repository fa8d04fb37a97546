"""The fleet: a site file with what all servers share, and a table (CSV) with a line for each server."""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationError

from builder.ask.reading import load_toml, problems_of
from builder.ask.site import EXAMPLE, Site
from builder.tools.errors import BadInput

Kind = Literal["one", "list", "path", "paths", "yes or no"]
IDENTITY = ("host.name", "network.address")
"""What no two servers share: each table has these columns."""
SEE = "see docs/reference/fleet.md"
_WORDS = {"verdadero": "true", "sí": "true", "si": "true", "falso": "false"}
"""What a Spanish Excel, or its user, writes into a cell for yes and no; English words pydantic knows."""


@dataclass(frozen=True)
class Server:
    """A line of the table (its number, from 1 for the header), and the site of that server."""

    line: int
    site: Site


@dataclass(frozen=True)
class Problem:
    """What is wrong in a line: a key (a column, where it has one) and why. Line 0: the base file itself."""

    line: int
    key: str
    text: str

    def __str__(self) -> str:
        return (
            ", ".join(filter(None, [f"line {self.line}" if self.line else "", self.key])) + f": {self.text}"
        )


@dataclass(frozen=True)
class Fleet:
    """All servers of a table, in its order, and all that is wrong in it."""

    table: Path
    base: Path
    servers: tuple[Server, ...]
    problems: tuple[Problem, ...]


def read_fleet(table: Path, base: Path | None) -> Fleet:
    """Read a table and the site file below it (the example if None).

    A cell takes the place of the base's value, an empty one leaves it. Paths in cells start from the table's
    folder, those in the base from its own.

    Raises:
        BadInput: the table or the base can't be read at all, or the header names a key that there is not.
            What is wrong in single lines is in the fleet's `problems`.
    """
    base = base or EXAMPLE
    words = {**load_toml(base, what="site"), "source": base.resolve().parent}
    servers: list[Server] = []
    problems: dict[Problem, None] = {}
    seen: dict[tuple[str, str], int] = {}
    for line, cells in _read_lines(table):
        found = [*_find_twins(line, cells, seen)]
        values, wrong = _read_cells(line, cells, table.resolve().parent)
        found += wrong
        try:
            site = Site.model_validate(_put_on(words, values))
        except ValidationError as error:
            found += [_place(line, key, text, cells) for key, text in problems_of(error)]
        else:
            servers.append(Server(line, site))
        problems |= dict.fromkeys(found)
    if not servers and not problems:
        raise BadInput(f"{table} has no line with a server", hint=SEE)
    return Fleet(table, base, tuple(servers), tuple(problems))


@cache
def columns() -> Mapping[str, Kind]:
    """Return every key that a column may have, and what its cells hold."""
    return dict(_columns_of(Site, ""))


def _columns_of(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Kind]]:
    for name, field in model.model_fields.items():
        kinds = {field.annotation, *_parts(field.annotation)}
        tables = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        many = any(getattr(kind, "__origin__", None) is tuple for kind in kinds)
        if tables and not many:
            yield from _columns_of(tables[0], f"{prefix}{name}.")
        elif not tables and name != "source":
            path = Path in kinds
            kind: Kind = ("paths" if path else "list") if many else "path" if path else "one"
            yield f"{prefix}{name}", "yes or no" if bool in kinds else kind


def _parts(annotation: Any) -> Iterator[Any]:
    for part in get_args(annotation):
        yield part
        yield from _parts(part)


def _read_lines(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Give the number of each line (its first, where cells hold line breaks) and its cells, empty ones not.

    Raises:
        BadInput: the file can't be read, is no UTF-8 or no table, or its header is wrong.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"{table}: line {number} is not UTF-8",
            hint="in Excel, save it as 'CSV UTF-8 (delimitado por comas)'",
        ) from error
    except OSError as error:
        raise BadInput(f"the table {table} can't be read: {error.strerror}", hint="check the path") from error
    separator = ";" if ";" in text.partition("\n")[0] else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names: list[str] = []
    before = 0
    try:
        for row in reader:
            number, before = before + 1, reader.line_num
            cells = [cell.strip() for cell in row]
            if not names:
                names = _read_header(table, cells)
            elif any(cells):
                if len(cells) < len(names) or any(cells[len(names) :]):
                    raise BadInput(
                        f"{table}: line {number} has {len(cells)} cells, and the header {len(names)}",
                        hint="what holds the separator or a line break goes between double quotes",
                    )
                yield number, {name: cell for name, cell in zip(names, cells, strict=False) if cell}
    except csv.Error as error:
        raise BadInput(f"{table}: line {before + 1} is no line of a table: {error}", hint=SEE) from error


def _read_header(table: Path, cells: list[str]) -> list[str]:
    names = list(cells)
    while names and not names[-1]:  # a spreadsheet's empty columns at the right
        names.pop()
    known = columns()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, *(key.split(".")[-1] for key in known)], n=1)
            full = [key for key in known if near and near[0] in (key, key.split(".")[-1])]
            hint = f"did you mean {' or '.join(full)}?" if full else f"{SEE} for those that there are"
            raise BadInput(f"{table}: line 1: there is no column '{name}'", hint=hint)
        if names.count(name) > 1:
            raise BadInput(f"{table}: line 1: the column {name} is there twice")
    for name in IDENTITY:
        if name not in names:
            raise BadInput(f"{table}: line 1: there is no column {name}: each server has its own", hint=SEE)
    return names


def _find_twins(line: int, cells: Mapping[str, str], seen: dict[tuple[str, str], int]) -> Iterator[Problem]:
    """Give a problem for a name or address that is empty or that an earlier line has; note this line's."""
    for key in IDENTITY:
        value = cells.get(key, "").partition("/")[0].lower()
        first = seen.setdefault((key, value), line)
        if not value:
            yield Problem(line, key, "is empty: each server has its own")
        elif first != line:
            yield Problem(line, key, f"line {first} has the same")


def _read_cells(line: int, cells: Mapping[str, str], folder: Path) -> tuple[dict[str, Any], list[Problem]]:
    """Return what the cells of a line hold, and those that name a file that can't be read."""
    values: dict[str, Any] = {}
    problems = []
    for key, cell in cells.items():
        kind = columns()[key]
        if kind in ("path", "paths"):
            paths = [folder / word for word in (cell.split() if kind == "paths" else [cell])]
            problems += [
                Problem(line, key, f"the file {path} can't be read")
                for path in paths
                if not (path.is_file() and os.access(path, os.R_OK))
            ]
            values[key] = paths if kind == "paths" else paths[0]
        elif kind == "list":
            # The parts of an SSH key are separated by blanks themselves: each begins with its type.
            between = r"\s+(?=(?:ssh|ecdsa)-)" if key.endswith("ssh_keys") else r"\s+"
            values[key] = re.split(between, cell)
        else:
            values[key] = _WORDS.get(cell.lower(), cell) if kind == "yes or no" else cell
    return values, problems


def _put_on(words: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the words of the base with a line's values in their places."""
    whole = deepcopy(dict(words))
    for key, value in values.items():
        *tables, name = key.split(".")
        place = whole
        for table in tables:
            inner = place.setdefault(table, {})
            place = (
                inner if isinstance(inner, dict) else {}
            )  # a base that is wrong is left for the model to say
        place[name] = value
    return whole


def _place(line: int, key: str, text: str, cells: Mapping[str, str]) -> Problem:
    """Return a problem of a site with the line that it is of; as one of the base when no cell is to blame."""
    for column in cells:
        if key == column or key.startswith(f"{column}."):
            return Problem(line, column, text)
    if key == "(file)" or any(column.startswith(f"{key}.") for column in cells):
        return Problem(line, "" if key == "(file)" else key, text)
    return Problem(0, key, text)
