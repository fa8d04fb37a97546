"""The table of breaks: what is spoilt in a throwaway copy, and what its control must say of it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from shlex import quote

import jinja2
from pydantic import Field

from builder.ask.plan import Plan
from builder.ask.reading import Frozen

FIREWALL = (
    "busctl --quiet call org.fedoraproject.FirewallD1"
    " /org/fedoraproject/FirewallD1 org.fedoraproject.FirewallD1.zone"
)
RELOAD = "postfix reload 2>/dev/null; sleep 1"


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
    """Makes it come into force; once for all breaks of a round that have the same."""
    mend: str = ""
    """Before the next round, where it would hide something there."""
    round: int = Field(default=1, ge=1)


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
        "reload": RELOAD,
    }
    shell = jinja2.Environment(undefined=jinja2.StrictUndefined)
    texts = {name: value for name, value in case.model_dump().items() if isinstance(value, str)}
    return case.model_copy(
        update={name: shell.from_string(text).render(names) for name, text in texts.items()}
    )


def script(cases: list[Break], mended: list[Break]) -> str:
    """Return the shell script that mends the breaks of the last round, and then makes those of this one.

    It prints a line for each part that fails, and nothing else.
    """
    parts = [(f"mend {case.what}", case.mend) for case in mended if case.mend]
    parts += [(case.what, case.how) for case in cases if case.how]
    parts += [(text, text) for text in dict.fromkeys(case.then for case in cases) if text]
    return "".join(
        f"said=$(sh -ec {quote(text)} 2>&1) || printf '%s: %s\\n' {quote(name)} \"$said\"\n"
        for name, text in parts
    )
