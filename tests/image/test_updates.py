"""Updates (CCN-STIC-681, 6.5 l): dnf as it reads its own settings, not as one file says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from facts import ASK_DNF, ask

from builder.ask.plan import Plan

Seen = Callable[[object], None]


@pytest.fixture(scope="module")
def facts(host: Any) -> dict[str, str]:
    return ask(
        host,
        {
            "dnf": ASK_DNF,
            "stray": "mkdir -p /etc/yum.repos.d; printf '[ajeno]\\nname=ajeno\\nbaseurl=file:///nada\\nenabled=1\\n'"
            " > /etc/yum.repos.d/ajeno.repo; dnf -q repolist --all; rm /etc/yum.repos.d/ajeno.repo",
            "rhsm": "grep -E '^(manage_repos|auto_enable_yum_plugins)' /etc/rhsm/rhsm.conf 2>/dev/null",
        },
    )


@pytest.mark.control("CCN681-6.5.l-01")
@pytest.mark.needs("rpm")
def test_signatures_are_demanded(facts: dict[str, str], seen: Seen) -> None:
    found = json.loads(facts["dnf"])
    seen(facts["dnf"])
    assert found["gpgcheck"] is True
    assert found["localpkg_gpgcheck"] is True
    assert found["sslverify"] is True
    assert all(repository["gpgcheck"] for repository in found["repositories"].values())


@pytest.mark.control("CCN681-6.5.l-02")
@pytest.mark.needs("rpm")
def test_repositories_are_the_sites(plan: Plan, facts: dict[str, str], seen: Seen) -> None:
    found = json.loads(facts["dnf"])
    key = "file:///etc/pki/rpm-gpg/RPM-GPG-KEY-forja"
    seen(
        f"{found['reposdir']}: {found['repositories'] or 'no repository'}; stray: {facts['stray'] or 'none'}"
    )
    assert found["reposdir"] == ["/etc/forja/repositorios.d"]
    assert found["repositories"] == {
        repository.id: {"enabled": True, "gpgcheck": True, "from": [repository.baseurl], "keys": [key]}
        for repository in plan.site.updates.repositories
    }
    assert "ajeno" not in facts["stray"]


@pytest.mark.control("CCN681-6.5.l-03")
@pytest.mark.needs("rpm")
def test_subscription_manager_is_off(facts: dict[str, str], seen: Seen) -> None:
    plugins = json.loads(facts["dnf"])["plugins"]
    seen(f"{plugins}; {facts['rhsm'] or 'not installed'}")
    assert not {"subscription-manager", "product-id"} & set(plugins)
    assert {line.replace(" ", "") for line in facts["rhsm"].splitlines()} <= {
        "manage_repos=0",
        "auto_enable_yum_plugins=0",
    }
