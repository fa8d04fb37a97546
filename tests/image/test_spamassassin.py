"""SpamAssassin as amavis loads it (CCN-STIC-681, 6.5.3); what it does to mail: test_amavis.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from smtp import Facts, look

from builder.ask.plan import Plan

Seen = Callable[[object], None]

ASK_THE_NETWORK = {
    "ASN", "AskDNS", "DCC", "DKIM", "DMARC", "DNSEval", "HashBL", "Hashcash", "Pyzor", "Razor2",
    "RelayCountry", "SPF", "SpamCop", "URIDNSBL", "URILocalBL",
}  # fmt: skip


@pytest.fixture(scope="module")
def facts(plan: Plan, host: Any) -> Facts:
    folder = plan.platform.path("/etc/mail/spamassassin")
    # As amavis: with its home, which is where a Bayes database would be.
    run = "cd /; runuser -u amavis -- spamassassin --nocreate-prefs --lint"
    return look(
        host,
        {
            "lint": f"{run}; echo rc $?",
            "loading": f"{run} -D plugin 2>&1 | grep -o 'loading Mail::SpamAssassin::Plugin::[A-Za-z0-9]*'",
            "named": f"grep -hE '^[[:space:]]*(try)?loadplugin' {folder}/*.pre {folder}/*.cf",
            "settings": f"grep -hE '^(use_bayes|bayes_auto_learn|dns_|skip_rbl_checks)' {folder}/*.cf",
            "amavis": "grep -E '^[$]sa_local_tests_only' /etc/amavisd/amavisd.conf",
            "bayes": "find /var/spool/amavisd /root -name 'bayes_*' 2>/dev/null",
            "units": "systemctl list-units --all --plain --no-legend --state=active 'spam*' 'sa-update*'",
            "cron": "ls /etc/cron.d/sa-update /etc/cron.daily/spamassassin 2>/dev/null; pgrep -a spamd",
            "rules": "find /usr/share/spamassassin -name '*.cf' | wc -l",
        },
    )


@pytest.mark.control("CCN681-6.5.3-01")
def test_it_takes_its_configuration(facts: Facts, seen: Seen) -> None:
    seen(f"{facts['lint']}; {facts['rules'][0]} files of rules")
    assert facts["lint"] == ["rc 0"]
    assert int(facts["rules"][0]) > 20


@pytest.mark.control("CCN681-6.5.3-02")
def test_only_our_plugins_are_loaded(facts: Facts, seen: Seen) -> None:
    named = {line.rpartition("::")[2].strip() for line in facts["named"]}
    loaded = {line.rpartition("::")[2] for line in facts["loading"]}
    seen(sorted(loaded))
    assert {"Check", "BodyEval", "HeaderEval"} <= loaded == named


@pytest.mark.control("CCN681-6.5.3-03")
def test_the_network_is_asked_only_where_the_profile_says_so(plan: Plan, facts: Facts, seen: Seen) -> None:
    asking = ASK_THE_NETWORK & {line.rpartition("::")[2] for line in facts["loading"]}
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
