"""Types, booleans and ports against what the targeted policy 3.14.3 says: the laboratory can't show it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from builder.ask.overlay import Entry, overlay_names, read_overlay
from builder.ask.plan import make_plan
from builder.ask.site import EXAMPLE
from builder.make.overlay import collect_members

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).parent / "selinux-3.14.3.tsv"
IMPORT = "/usr/lib/forja/selinux.semanage"


@cache
def rows(kind: str) -> tuple[tuple[str, ...], ...]:
    """Return the rows of a kind of what the policy says, without the kind."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    cells = (tuple(line.split("\t")) for line in lines if not line.startswith("#"))
    return tuple(row[1:] for row in cells if row[0] == kind)


@cache
def imported(site: Path | None = None) -> list[str]:
    plan = make_plan("clasificado", site, "rhel-8.3")
    content = next(member.content for member in collect_members(plan) if member.path == IMPORT)
    assert content is not None
    return content.decode().splitlines()


@cache
def own_contexts() -> list[tuple[str, str, str, str]]:
    pattern = r"fcontext -a -f (\S) -t (\w+) -r 's0' '(.+)'"
    found = [re.fullmatch(pattern, line) for line in imported() if line.startswith("fcontext")]
    kinds = {"a": "any", "f": "--", "d": "-d"}
    return [(match[3], kinds[match[1]], match[2], "forja") for match in found if match]


def weight(spec: str) -> tuple[bool, int, int]:
    """Return what decides between two patterns of the policy: the more exact comes last, and wins."""
    plain = spec.replace("\\.", ".").replace("\\-", "-")
    meta = re.search(r"[\\^$?*+|\[({]|(?<!\\)\.(?=[*+?])", spec.replace("\\.", "_"))
    return meta is None, meta.start() if meta else len(plain), len(plain)


def type_of(path: str, folder: bool) -> str:
    """Return the type that the policy and our own lines give a path."""
    for name, same in rows("same"):
        if path == name or path.startswith(f"{name}/"):
            path = same + path[len(name) :]
            break
    wanted = ("any", "-d" if folder else "--")
    # Our own lines come after the policy's, and so before them.
    for contexts in (own_contexts(), rows("context")):
        found = [row for row in contexts if row[1] in wanted and re.fullmatch(row[0], path)]
        if found:
            return max(found, key=lambda row: weight(row[0]))[2]
    raise AssertionError(f"{TABLE.name} does not know {path}: add what the policy says of it")


@pytest.mark.parametrize("name", overlay_names())
def test_declared_types_are_what_restorecon_gives(name: str) -> None:
    overlay = read_overlay(name)
    both: list[tuple[Entry, bool]] = [(entry, False) for entry in overlay.files]
    both += [(entry, True) for entry in overlay.dirs]
    wrong = [
        f"{entry.path}: {entry.type}, restorecon gives {given}"
        for entry, folder in both
        if (given := type_of(entry.path, folder)) != entry.type
    ]
    assert wrong == []


def test_every_own_context_is_needed() -> None:
    """What the policy says already is not said again: semanage would refuse it."""
    assert len(own_contexts()) == len([line for line in imported() if line.startswith("fcontext")]) > 0
    for spec, _, given, _ in own_contexts():
        assert spec not in {row[0] for row in rows("context")}
        example = re.sub(r"\(/\.\*\)\?$", "/x", spec)
        matching = [row for row in rows("context") if re.fullmatch(row[0], example)]
        assert max(matching, key=lambda row: weight(row[0]))[2] != given


def test_every_boolean_exists_in_the_policy() -> None:
    known = {row[0] for row in rows("boolean")}
    asked = dict(
        match.groups()[::-1]
        for line in imported()
        if (match := re.fullmatch(r"boolean -m -([01]) (\w+)", line))
    )
    assert len(asked) == len([line for line in imported() if line.startswith("boolean")])
    assert set(asked) <= known
    assert asked["antivirus_can_scan_system"] == asked["antivirus_use_jit"] == "0"


def test_every_line_is_one_of_semanage() -> None:
    assert [line for line in imported() if not re.match(r"(boolean -m|fcontext -a|port -a) ", line)] == []


def test_ports_of_the_mail_have_their_types() -> None:
    plan = make_plan("clasificado", None, "rhel-8.3")
    known = {int(row[0]) for row in rows("port")}
    assert {port.port for port in plan.ports} <= known
    assert not [line for line in imported() if line.startswith("port")]


@pytest.mark.parametrize(("port", "lines"), [(6514, 0), (10514, 0), (7514, 1)])
def test_an_unusual_port_of_the_collector_is_declared(port: int, lines: int, tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    (tmp_path / "ca.pem").write_text("CA\n")
    more = f'\n[logs]\nserver = "10.20.60.5"\nport = {port}\nca = "ca.pem"\n'
    site.write_text(EXAMPLE.read_text(encoding="utf-8") + more, encoding="utf-8")
    found = [line for line in imported(site) if line.startswith("port")]
    assert len(found) == lines
    assert all(line == f"port -a -t syslog_tls_port_t -r 's0' -p tcp {port}" for line in found)
