"""Integrity: the data base that the image came with, what it watches, and that a change is found."""

from __future__ import annotations

import re
from typing import Any

import pytest
from facts import ask
from smtp import ARRIVE, await_line

FOLDER = "/usr/libexec/forja"
PLACE = f"{FOLDER}/prueba-de-integridad"
WATCHED = (
    *("/boot", "/etc/ssh/sshd_config", "/etc/passwd", "/etc/sudoers", "/usr/bin/bash", "/usr/bin/sudo"),
    *("/usr/sbin/postfix", "/usr/lib/systemd/systemd", "/usr/libexec/forja/integridad", "/etc/pam.d"),
)


@pytest.fixture(scope="module")
def facts(plan: Any, host: Any) -> dict[str, str]:
    conf = plan.platform.path("/etc/aide.conf")
    base = "zcat /var/lib/aide/aide.db.gz"
    named = "|".join(map(re.escape, WATCHED))
    return ask(
        host,
        {
            "config": f"aide --config={conf} --config-check; echo $?",
            "state": "/usr/libexec/forja/integridad estado",
            "modes": "stat -c '%a %U:%G %n' /var/lib/aide /var/lib/aide/aide.db.gz /var/log/aide",
            "before": "date -r /var/lib/aide/aide.db.gz.anterior +%s;"
            " awk '$1 == \"btime\" {print $2}' /proc/stat;"
            " zcat /var/lib/aide/aide.db.gz.anterior | grep -c ' '",
            "names": f"{base} | grep -oE '^({named}|/etc/ssh/ssh_host_[a-z0-9]+_key) ';"
            f" {base} | grep -c '^/'",
            "spec": f"{base} | grep '^@@db_spec'; {base} | grep '^/usr/libexec/forja/integridad '",
            "first": "cat /var/log/aide/primer-arranque.log",
            # Once, and below one folder: AIDE reads its whole data base each time, slowly under emulation.
            "told": f"echo x > {PLACE}; /usr/libexec/forja/integridad comprobar {FOLDER}; rm {PLACE}",
            "changed": "cat /var/log/aide/comprobado.log",
            "log": "sleep 1; journalctl -b -t integridad -o cat -n 5 --no-pager",
            "timer": "for word in enabled active; do systemctl is-$word forja-integridad.timer; done;"
            " systemctl show -p NextElapseUSecRealtime --value forja-integridad.timer",
        },
    )


@pytest.mark.control("RHEL-AIDE-01")
def test_the_data_base_came_with_the_image(fresh: None, facts: dict[str, str], seen: Any) -> None:
    made, booted, entries = map(int, facts["before"].splitlines())
    names = set(facts["names"].split())
    seen(f"{facts['state']}; the image's own has {entries} entries\n{facts['first']}")
    assert made < booted, "the data base of the image was made after it booted"
    assert entries > 2000
    own = {"/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ecdsa_key"}
    assert own <= names, "what this machine made for itself is not in it"
    assert own <= set(facts["first"].split()), "the first boot's report does not tell of it"


@pytest.mark.control("RHEL-AIDE-02")
def test_data_base_and_reports_are_roots(facts: dict[str, str], seen: Any) -> None:
    seen(facts["modes"])
    assert [line.rsplit(" ", 1)[0] for line in facts["modes"].splitlines()] == [
        "700 root:root",
        "600 root:root",
        "700 root:root",
    ]


@pytest.mark.control("RHEL-AIDE-03")
def test_what_a_server_runs_and_obeys_is_watched(plan: Any, facts: dict[str, str], seen: Any) -> None:
    *names, count = facts["names"].split()
    spec, entry, *_ = facts["spec"].splitlines()
    seen(f"{count} entries, with {spec}; {facts['config']}")
    assert facts["config"].splitlines()[-1] == "0", "aide does not take its configuration"
    assert set(WATCHED) <= set(names)
    assert {"perm", "uid", "gid", "acl", "xattrs", "sha512", "selinux"} <= set(spec.split())
    assert len(entry.split()) == len(spec.split()) - 1


def differences(report: str) -> dict[str, int]:
    """How many entries were added, removed and changed, by AIDE's summary."""
    return {
        word: int(number) for word, number in re.findall(r"(Added|Removed|Changed) entries:\s+(\d+)", report)
    }


@pytest.mark.control("RHEL-AIDE-04")
def test_a_change_is_found(acting: None, facts: dict[str, str], seen: Any) -> None:
    found = differences(facts["changed"])
    seen(f"a file put below {FOLDER}: {found}; {facts['timer']}")
    assert found == {"Added": 1, "Removed": 0, "Changed": 0}
    assert PLACE in facts["changed"]
    enabled, active, when = facts["timer"].splitlines()
    assert (enabled, active) == ("enabled", "active")
    assert re.search(r"\d\d:\d\d:\d\d", when), "the timer will not elapse"


@pytest.mark.control("RHEL-AIDE-05")
def test_a_change_is_told(acting: None, plan: Any, host: Any, facts: dict[str, str], seen: Any) -> None:
    mail = await_line(host, f"grep -F {PLACE} /var/mail/{plan.site.admin.user}", ARRIVE)
    seen(f"{facts['told']}\n{facts['log']}\nto postmaster: {mail}")
    assert differences(facts["told"]) == differences(facts["changed"])
    assert "difieren de la base de datos" in facts["log"]
    assert PLACE in mail
