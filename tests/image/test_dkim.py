"""OpenDKIM on the machine (CCN-STIC-681, 6.5.9): its key, its process, what it signs; verified in mail/."""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from smtp import Facts, await_line, await_queued, held, look, secure, send

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest

Seen = Callable[[object], None]

KEY = "/etc/opendkim/keys/forja.private"
SLACK_SECONDS = 60
"""By which the clock may have been set while the machine started."""


@pytest.fixture(scope="module")
def facts(plan: Plan, host: Any) -> Facts:
    return look(
        host,
        {
            "key": f"openssl rsa -in {KEY} -noout -text | head -n 1;"
            f" stat -c '%a %U:%G %n' {KEY} /etc/opendkim/keys",
            "made": f"stat -c %Y {KEY}; awk '$1 == \"btime\" {{print $2}}' /proc/stat",
            "files": "ls /etc/opendkim/keys",
            "others": "for user in nobody postfix; do runuser -u $user -- cat " + KEY + "; done",
            "public": f"openssl rsa -in {KEY} -pubout -outform DER 2>/dev/null | base64 -w 0",
            "record": "cat /etc/opendkim/registro-dns.txt",
            "listening": "ss -Hlnt | awk '{print $4}' | grep :8891",
            "process": "pid=$(systemctl show -p MainPID --value opendkim); stat -c %U /proc/$pid;"
            " grep -E '^Cap(Prm|Eff|Bnd)' /proc/$pid/status",
            "mounts": "awk '{print $5, $6}' /proc/$(systemctl show -p MainPID --value opendkim)/mountinfo",
            "unit": "systemctl is-enabled opendkim; systemctl is-active opendkim",
            "milters": "postconf -h smtpd_milters non_smtpd_milters milter_default_action",
        },
    )


@pytest.mark.control("CCN681-6.5.9-04")
def test_key_is_rsa_2048_at_least(facts: Facts, seen: Seen) -> None:
    seen(facts["key"][0])
    bits = re.search(r"Private-Key: \((\d+) bit", facts["key"][0])
    assert bits
    assert int(bits[1]) >= 2048


@pytest.mark.control("CCN681-6.5.9-04")
def test_key_was_not_in_the_image(fresh: None, plan: Plan, facts: Facts, seen: Seen) -> None:
    made, boot = map(int, facts["made"])
    seen(f"brought by the site: {plan.site.dkim.key}; made {made - boot} s after the start of this boot")
    assert plan.site.dkim.key is not None or made >= boot - SLACK_SECONDS


@pytest.mark.control("CCN681-6.5.9-05")
def test_key_is_opendkims_alone(facts: Facts, seen: Seen) -> None:
    seen(f"{facts['key'][1:]}; {facts['files']}; others: {facts['others']}")
    assert facts["key"][1:] == [f"600 opendkim:opendkim {KEY}", "750 root:opendkim /etc/opendkim/keys"]
    assert facts["files"] == ["forja.private"]
    assert len(facts["others"]) == 2
    assert all("Permission denied" in line for line in facts["others"])


@pytest.mark.control("CCN681-6.5.9-06")
def test_milter_has_no_rights_and_listens_on_the_loopback(facts: Facts, seen: Seen) -> None:
    seen(f"{facts['process']}; {facts['listening']}; {facts['unit']}; {facts['milters']}")
    assert facts["unit"] == ["enabled", "active"]
    assert facts["listening"] == ["127.0.0.1:8891"]
    assert facts["process"][0] == "opendkim"
    assert {int(line.split()[1], 16) for line in facts["process"][1:]} == {0}
    options = dict(line.split() for line in facts["mounts"])
    assert "ro" in options["/"].split(",")
    assert facts["milters"] == ["inet:127.0.0.1:8891", "$smtpd_milters", "tempfail"]


@pytest.mark.control("CCN681-6.5.9-07")
def test_record_for_dns_is_the_keys(plan: Plan, facts: Facts, seen: Seen) -> None:
    text = "\n".join(facts["record"])
    found = {
        name: "".join(re.findall(r'"([^"]*)"', strings))
        for name, strings in re.findall(r"^(\S+)\. IN TXT \(([^)]*)\)", text, re.MULTILINE)
    }
    selector = plan.site.dkim.selector
    domains = {plan.site.mail.domain, *plan.site.mail.relay_domains}
    seen(text)
    assert set(found) == {f"{selector}._domainkey.{domain}" for domain in domains}
    assert set(found.values()) == {f"v=DKIM1; h=sha256; k=rsa; s=email; p={facts['public'][0]}"}
    assert max(map(len, re.findall(r'"([^"]*)"', text))) <= 255


@pytest.mark.control("CCN681-6.5.9-01", "CCN681-6.5.9-03")
def test_own_mail_is_signed(plan: Plan, guest: Guest, host: Any, seen: Seen) -> None:
    token, domain = uuid.uuid4().hex, plan.site.mail.domain
    sender = f"prueba@{domain}"
    body = f"prueba {token}\nsegunda linea\n\n\n"
    letter = f"From: {sender}\nTo: a@destino.example\nSubject: {token}\n\n{body}"
    with held(host):
        with secure(guest, 25, "relay") as smtp:
            code, text = send(smtp, letter, sender=sender)
        assert code == 250, text
        message = await_queued(host, token)
    fields = re.search(r"^DKIM-Signature: (.*(?:\n[ \t].*)*)", message, re.MULTILINE)
    assert fields, message
    tags = {
        name.strip(): re.sub(r"\s", "", value)
        for name, _, value in (tag.partition("=") for tag in fields[1].split(";"))
    }
    seen(fields[1])
    assert {name: tags[name] for name in "acds"} == {
        "a": "rsa-sha256", "c": "relaxed/simple", "d": domain, "s": plan.site.dkim.selector,
    }  # fmt: skip
    signed = [name.lower() for name in tags["h"].split(":")]
    assert {"from", "to", "subject"} <= set(signed)
    assert signed.count("from") == 2, "a second From could be added"
    assert not {"received", "return-path"} & set(signed)
    # Simple body canonicalisation (RFC 6376, 3.4.3): empty lines at the end count for nothing.
    canonical = (body.rstrip("\n") + "\n").replace("\n", "\r\n").encode()
    assert tags["bh"] == base64.b64encode(hashlib.sha256(canonical).digest()).decode()


@pytest.mark.control("CCN681-6.5.9-01")
def test_what_the_server_writes_is_signed(plan: Plan, host: Any, seen: Seen) -> None:
    token = uuid.uuid4().hex
    letter = f"From: prueba@{plan.site.mail.domain}\\nSubject: {token}\\n\\nprueba\\n"
    with held(host):
        host.check_output(f"printf '{letter}' | sendmail a@destino.example")
        found = re.findall(r"^DKIM-Signature: .*", await_queued(host, token), re.MULTILINE)
    seen(found)
    assert len(found) == 1
    assert f"d={plan.site.mail.domain};" in found[0]


@pytest.mark.control("CCN681-6.5.9-06")
def test_without_the_milter_no_mail_is_taken(guest: Guest, host: Any, seen: Seen) -> None:
    host.check_output("systemctl stop opendkim")
    try:
        with guest.connect(25, "relay") as sock:
            sock.settimeout(90)
            stream = sock.makefile("rwb")
            answers = [stream.readline()]
            for command in (
                b"EHLO relay.destino.example",
                b"STARTTLS",
                b"MAIL FROM:<prueba@destino.example>",
            ):
                stream.write(command + b"\r\n")
                stream.flush()
                answers.append(stream.readline())
                while answers[-1][3:4] == b"-":
                    answers[-1] = stream.readline()
                if answers[-1].startswith(b"4"):
                    break
    finally:
        host.check_output("systemctl start opendkim")
        await_line(host, "ss -Hlnt | grep 127.0.0.1:8891")
    seen(answers)
    assert re.match(rb"4[25]\d ", answers[-1]), answers
