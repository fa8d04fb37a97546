"""The SPF policy service at its place in Postfix (CCN-STIC-681, 6.5.8); its answers, with real DNS: mail/."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from facts import wait_for
from smtp import Facts, await_queued, held, look, read_main_cf, recipient, secure, send

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest

Seen = Callable[[object], None]


@pytest.fixture(scope="module")
def facts(plan: Plan, host: Any) -> Facts:
    program = plan.platform.path("/usr/libexec/postfix/policyd-spf")
    settings = plan.platform.path("/etc/python-policyd-spf/policyd-spf.conf")
    token = uuid.uuid4().hex
    return look(
        host,
        {
            "service": "postconf -M policyd-spf/unix",
            "account": "getent passwd policyd-spf; id -Gn policyd-spf",
            "files": f"stat -L -c '%a %U:%G' {program} {settings}",
            # A setting that it does not know is passed over, with a line in the log alone.
            "settings": f"runuser -u policyd-spf -- {program} {settings} </dev/null;"
            f" grep -cE '^[A-Za-z_]+ = ' {settings}; logger -p mail.info -t forja-prueba {token};"
            f" {wait_for(f'grep -q {token} /var/log/maillog', 40)};"
            " grep 'policyd-spf.*\\(ERROR\\|not defined\\)' /var/log/maillog",
        },
    )


@pytest.mark.control("CCN681-6.5.8-01")
def test_service_comes_after_relay_control(plan: Plan, host: Any, facts: Facts, seen: Seen) -> None:
    main = read_main_cf(host)
    order = re.split(r"[\s,]+", main["smtpd_recipient_restrictions"])
    program = plan.platform.path("/usr/libexec/postfix/policyd-spf")
    seen(f"{facts['service']}; {order}; {main['policyd-spf_time_limit']}; {facts['account']}")
    assert order[-3:] == ["reject_unauth_destination", "check_policy_service", "unix:private/policyd-spf"]
    assert main["policyd-spf_time_limit"] == "3600s"
    assert facts["service"][0].split()[7:10] == ["spawn", "user=policyd-spf", f"argv={program}"]
    account, groups = facts["account"]
    assert account.rpartition("/")[2] in {"nologin", "false"}
    assert groups == "policyd-spf"
    assert facts["files"] == ["755 root:root", "644 root:root"]


@pytest.mark.control("CCN681-6.5.8-01")
def test_service_knows_all_of_its_settings(facts: Facts, seen: Seen) -> None:
    seen(facts["settings"])
    assert len(facts["settings"]) == 1, "it complains of a setting"
    assert int(facts["settings"][0]) >= 10


@pytest.mark.control("CCN681-6.5.8-07")
def test_own_networks_are_not_asked_about(plan: Plan, guest: Guest, host: Any, seen: Seen) -> None:
    token = uuid.uuid4().hex
    sender = f"{token}@{plan.site.mail.domain}"
    with held(host):
        with secure(guest, 25, "relay") as smtp:
            code, text = send(smtp, f"From: {sender}\nSubject: {token}\n\nprueba", sender=sender)
        assert code == 250, text
        headers = await_queued(host, token).partition("\n\n")[0]
    asked = host.run(f"grep 'policyd-spf.*{token}' /var/log/maillog").stdout
    seen(f"{text}; {len(headers.splitlines())} lines of headers; policyd-spf: {asked or 'not asked'}")
    assert token in headers
    assert not re.search(r"^(Received-SPF|X-Comment): ", headers, re.MULTILINE)
    assert asked == ""


@pytest.mark.control("CCN681-6.5.8-08")
def test_without_the_service_mail_is_put_off(plan: Plan, guest: Guest, host: Any, seen: Seen) -> None:
    program = plan.platform.path("/usr/libexec/postfix/policyd-spf")
    host.check_output(f"mv {program} {program}.prueba; pkill -u policyd-spf || true")
    try:
        with secure(guest, 25, "peer") as smtp:
            smtp.sock.settimeout(300)  # type: ignore[union-attr]
            code, text = recipient(smtp, f"<alguien@{plan.site.mail.relay_domains[0]}>")
    finally:
        host.check_output(f"mv {program}.prueba {program}; postfix reload")
    seen(f"{code} {text}")
    assert (code, text.split()[0]) == (451, "4.3.5")
