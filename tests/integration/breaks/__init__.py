"""The table of breaks: what is spoilt in a throwaway copy, and what its control must say of it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from shlex import quote

import jinja2

from builder.ask.plan import Plan
from builder.ask.reading import Frozen

FIREWALL = (
    "busctl --quiet call org.fedoraproject.FirewallD1"
    " /org/fedoraproject/FirewallD1 org.fedoraproject.FirewallD1.zone"
)


def wait_for(condition: str) -> str:
    """Return the shell command that ends once a condition holds, and fails after a minute."""
    return f"i=0; until {condition}; do sleep 0.2; i=$((i + 1)); [ $i -lt 300 ]; done"


RELOAD = "old=$(pgrep -o -x postscreen || echo none); postfix reload 2>/dev/null; " + wait_for(
    '! kill -0 "$old" 2>/dev/null'
)
"""Until the old postscreen has gone: what connects after that meets the new settings."""


class Break(Frozen):
    """Something spoilt on purpose. Shell lines run as root; `plan`'s names are in {{ }}, as in templates."""

    what: str
    control: str
    """The control that must not hold any more."""
    says: str
    """Regular expression that the reason of its failure has: nothing else that is broken is taken for it."""
    how: str = ""
    before_boot: str = ""
    """Instead of `how`: done to the copy before it boots, its root file system being $root."""
    then: str = ""
    """Makes it come into force; once for all breaks that have the same."""


def read_breaks() -> list[Break]:
    """Return the breaks of all tables, in the order of files and lines."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*.toml")):
        found += [Break.model_validate(item) for item in tomllib.loads(path.read_text())["break"]]
    return found


def rendered(case: Break, plan: Plan) -> Break:
    """Return a break with the names that a plan and its platform give."""
    names = {
        "site": plan.site,
        "path": plan.platform.path,
        "service": plan.platform.service,
        "package": lambda name: plan.platform.package(name)[0],
        "firewall": FIREWALL,
        "wait_for": wait_for,
        "reload": RELOAD,
    }
    shell = jinja2.Environment(undefined=jinja2.StrictUndefined)
    texts = {name: value for name, value in case.model_dump().items() if isinstance(value, str)}
    return case.model_copy(
        update={name: shell.from_string(text).render(names) for name, text in texts.items()}
    )


def script(cases: list[Break]) -> str:
    """Return the shell script that makes the breaks; it prints a line for each part that fails."""
    parts = [(case.what, case.how) for case in cases if case.how]
    parts += [(text, text) for text in dict.fromkeys(case.then for case in cases) if text]
    return "".join(
        f"said=$(sh -ec {quote(text)} 2>&1) || printf '%s: %s\\n' {quote(name)} \"$said\"\n"
        for name, text in parts
    )
