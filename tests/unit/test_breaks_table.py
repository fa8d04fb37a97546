"""The table of breaks (tests/integration/breaks): what it names exists, and it is as long as it has to be."""

from __future__ import annotations

import re
import subprocess

import jinja2
import pytest

from builder.ask.overlay import overlay_names, read_overlay
from tests.integration.breaks import Break, read_breaks, script

BREAKS = read_breaks()
LEAST = 80


def test_enough_controls_are_broken() -> None:
    assert len({case.control for case in BREAKS}) >= LEAST


def test_each_control_is_broken_once_and_exists() -> None:
    known = {control.id for name in overlay_names() for control in read_overlay(name).controls}
    named = [case.control for case in BREAKS]
    assert sorted(set(named) - known) == []
    assert len(named) == len(set(named))


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: case.control)
def test_each_break_is_whole(case: Break) -> None:
    assert bool(case.how) != bool(case.before_boot)
    assert not re.search(case.says, ""), "it would be taken for any failure"
    for text in (case.how, case.before_boot, case.then):
        jinja2.Environment().parse(text)


def test_breaks_are_one_script_that_tells_what_fails() -> None:
    first = Break(what="it's one", control="A", says="a", how="true", then="reload")
    second = Break(what="two", control="B", says="b", how="false", then="reload")
    text = script([second, first])
    assert text.count("sh -ec reload") == 1
    said = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"two: \nreload: [^\n]*not found\n", said)
