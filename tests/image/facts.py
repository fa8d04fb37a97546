"""Many questions to the guest in one go: under emulation a round trip costs more than the answers."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import pytest

from builder.make.findings import ACTS

T = TypeVar("T")
RECORD, UNIT = "\x1e", "\x1f"
ASK_DNF = """\
first=$(head -n 1 "$(command -v dnf)")
${first#??} -I - <<'END'
import json
import dnf
base = dnf.Base()
base.conf.read()
base.conf.substitutions.update_from_etc(base.conf.installroot)
base.init_plugins()
base.read_all_repos()
names = ("gpgcheck", "localpkg_gpgcheck", "sslverify")
print(json.dumps({
    **{name: bool(getattr(base.conf, name)) for name in names},
    "reposdir": list(base.conf.reposdir),
    "plugins": sorted(plugin.name for plugin in base._plugins.plugins),
    "repositories": {
        repo.id: {
            "enabled": bool(repo.enabled), "gpgcheck": bool(repo.gpgcheck),
            "from": list(repo.baseurl), "keys": list(repo.gpgkey),
        }
        for repo in base.repos.all()
    },
}))
END
"""
"""dnf's own view of its settings, by the Python that it runs with: what one file says may not be in force."""


class Answers(dict[str, T]):
    """Answers by name. On a server in use some were not asked for: a test that needs one is not shown."""

    def __init__(self, answers: Mapping[str, T], unasked: Iterable[str] = ()) -> None:
        super().__init__(answers)
        self.unasked = frozenset(unasked)

    def __missing__(self, name: str) -> T:
        if name in self.unasked:
            pytest.skip(ACTS.es)
        raise KeyError(name)


def ask(host: Any, commands: dict[str, str]) -> Answers[str]:
    """Run shell commands in the guest as root, in one connection and in order.

    Args:
        host: testinfra's host.
        commands: name -> command for /bin/sh, in the C locale; its exit code is not looked at.

    Returns:
        name -> what it printed, standard error included, without the last line break. On a server in use,
        commands that do not only look are left out.

    Raises:
        AssertionError: the connection failed before all had run, so silence never passes for an answer.
    """
    why_it_acts = getattr(getattr(host, "backend", host), "why_it_acts", None)
    unasked = {name for name, command in commands.items() if why_it_acts and why_it_acts(command)}
    asked = {name: command for name, command in commands.items() if name not in unasked}
    script = "export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
    for name, command in asked.items():
        script += f"printf '\\036%s\\037' {name}\n(\n{command}\n) 2>&1\n"
    result = host.run(script + "printf '\\036end\\037'\n")
    answers: dict[str, str] = {}
    for record in result.stdout.split(RECORD)[1:]:
        name, _, text = record.partition(UNIT)
        answers[name] = text.rstrip("\n")
    assert list(answers) == [*asked, "end"], f"the guest did not answer everything: {result.stderr}"
    return Answers(answers, unasked)


def by_control(table: dict[str, Any]) -> list[Any]:
    """Return a parameter for each control of a table, marked with it."""
    return [pytest.param(value, id=name, marks=pytest.mark.control(name)) for name, value in table.items()]


def wait_for(condition: str, seconds: int = 10) -> str:
    """Return the shell command that ends once a condition holds, and after some seconds all the same."""
    return f"i=0; until {condition} || [ $i -ge {seconds * 5} ]; do sleep 0.2; i=$((i + 1)); done"


def new_password() -> str:
    """Return a password of the moment that pwquality takes: every class, nothing repeated or counted up."""
    kinds = ("BDGKMPRTVX", "cfhjlnqswz", "2468", "-_.")
    return "".join(secrets.choice(kind) for _ in range(8) for kind in kinds)


def unlike(expected: Mapping[str, object], found: Mapping[str, object]) -> list[str]:
    """Return a line for each name whose value is not the one expected."""
    return [
        f"{name}: {found.get(name, 'missing')} instead of {value}"
        for name, value in expected.items()
        if found.get(name) != value
    ]
