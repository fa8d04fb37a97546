"""SpamAssassin as amavis loads it (CCN-STIC-681, 6.5.3); what it does to mail: test_amavis.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from smtp import Facts, look

from builder.ask.overlay import read_overlay
from builder.ask.plan import Plan
from builder.tools.templates import text_templates

Seen = Callable[[object], None]

ASK_THE_NETWORK = {
    "ASN", "AskDNS", "DCC", "DKIM", "DMARC", "DNSEval", "HashBL", "Hashcash", "Pyzor", "Razor2",
    "RelayCountry", "SPF", "SpamCop", "URIDNSBL", "URILocalBL",
}  # fmt: skip


@pytest.fixture(scope="module")
def facts(plan: Plan, host: Any) -> Facts:
    folder = plan.platform.path("/etc/mail/spamassassin")
    # As amavis: with its home, which is where a Bayes database would be. Once: it takes its time.
    run = "cd /; runuser -u amavis -- spamassassin --nocreate-prefs --lint -D plugin"
    return look(
        host,
        {
            "run": f"{run}; echo rc $?",
            "settings": f"grep -hE '^(use_bayes|bayes_auto_learn|dns_|skip_rbl_checks)' {folder}/*.cf",
            "amavis": "grep -E '^[$]sa_local_tests_only' /etc/amavisd/amavisd.conf",
            "bayes": "find /var/spool/amavisd /root -name 'bayes_*' 2>/dev/null",
            "units": "systemctl list-units --all --plain --no-legend --state=active 'spam*' 'sa-update*'",
            "cron": "ls /etc/cron.d/sa-update /etc/cron.daily/spamassassin 2>/dev/null; pgrep -a spamd",
            "rules": "find /usr/share/spamassassin -name '*.cf' | wc -l",
        },
    )


@pytest.fixture(scope="module")
def loaded(facts: Facts) -> set[str]:
    return set(re.findall(r"loading Mail::SpamAssassin::Plugin::(\w+)", "\n".join(facts["run"])))


def our_plugins(plan: Plan) -> set[str]:
    """Return the plug-ins of our own list, as the overlay writes it for this profile."""
    overlay = read_overlay("spamassassin")
    source = overlay.source(next(entry for entry in overlay.files if entry.path.endswith("/forja.pre")))
    text = text_templates(source.parent).get_template(source.name).render(profile=plan.profile)
    return set(re.findall(r"^loadplugin Mail::SpamAssassin::Plugin::(\w+)$", text, re.MULTILINE))


@pytest.mark.control("CCN681-6.5.3-01")
def test_it_takes_its_configuration(facts: Facts, seen: Seen) -> None:
    said = [line for line in facts["run"] if " dbg: plugin: " not in line]
    seen(f"{said}; {facts['rules'][0]} files of rules")
    assert said == ["rc 0"]
    assert int(facts["rules"][0]) > 20


@pytest.mark.control("CCN681-6.5.3-02")
def test_only_our_plugins_are_loaded(plan: Plan, loaded: set[str], seen: Seen) -> None:
    seen(sorted(loaded))
    assert {"Check", "BodyEval", "HeaderEval"} <= loaded
    assert loaded == our_plugins(plan)


@pytest.mark.control("CCN681-6.5.3-03")
def test_the_network_is_asked_only_where_the_profile_says_so(
    plan: Plan, facts: Facts, loaded: set[str], seen: Seen
) -> None:
    asking = ASK_THE_NETWORK & loaded
    seen(f"{sorted(asking)}; {facts['settings']}; {facts['amavis']}")
    if plan.profile.values.spam_network_tests:
        assert asking
    else:
        assert asking == set()
        assert {"dns_available no", "skip_rbl_checks 1"} <= set(facts["settings"])
        assert re.match(r"\$sa_local_tests_only = 1;", facts["amavis"][0])


@pytest.mark.control("CCN681-6.5.3-04")
def test_nothing_is_learnt(facts: Facts, seen: Seen) -> None:
    seen(f"{facts['settings']}; {facts['bayes'] or 'no database'}")
    assert {"use_bayes 0", "bayes_auto_learn 0"} <= set(facts["settings"])
    assert facts["bayes"] == []


@pytest.mark.control("CCN681-6.5.3-05")
def test_rules_are_not_fetched_and_spamd_does_not_run(facts: Facts, seen: Seen) -> None:
    seen(facts["units"] + facts["cron"] or "no unit, no cron job, no spamd")
    assert facts["units"] == []
    assert facts["cron"] == []
