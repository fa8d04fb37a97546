"""TLS and SASL of the relay: protocols, suites, certificate, who may authenticate (CCN-STIC-681, 6.5.4)."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from facts import new_password
from smtp import (
    Facts,
    early_talker,
    exactly,
    forget_clients,
    look,
    read_main_cf,
    recipient,
    secure,
    talk,
)

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest

Seen = Callable[[object], None]

JAIL = "/var/spool/postfix"
KEY = "/etc/pki/tls/private/forja-postfix.key"
CERT = "/etc/pki/tls/certs/forja-postfix.pem"
WITHOUT = {"!SSLv2", "!SSLv3", "!TLSv1", "!TLSv1.1"}
SUITES = {
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
}


@pytest.fixture(scope="module")
def facts(host: Any) -> Facts:
    """What one look at the machine tells."""
    return look(
        host,
        {
            "modes": f"stat -c '%a %U:%G %n' {KEY} {CERT} /run/saslauthd",
            "keys": "find /etc/pki/tls/private /etc/ssl/private -type f 2>/dev/null",
            "cert": f"openssl x509 -in {CERT} -noout -subject -ext subjectAltName -checkend 86400",
            "key": f"openssl pkey -in {KEY} -pubout",
            "public": f"openssl x509 -in {CERT} -noout -pubkey",
            "shown": f"openssl x509 -in {CERT}",
            "ca": 'ls -L "$(postconf -xh smtp_tls_CAfile 2>/dev/null)"',
            "mount": f"findmnt -rno TARGET,OPTIONS {JAIL}/run/saslauthd",
        },
    )


@pytest.fixture(scope="module")
def main_cf(host: Any) -> dict[str, str]:
    return read_main_cf(host)


@pytest.mark.control("CCN681-6.5.4-01")
def test_old_protocols_are_excluded(main_cf: dict[str, str], seen: Seen) -> None:
    names = ("smtpd_tls_protocols", "smtpd_tls_mandatory_protocols")
    seen([f"{name} = {main_cf[name]}" for name in names])
    for name in names:
        assert set(main_cf[name].split(", ")) == WITHOUT, name


@pytest.mark.control("CCN681-6.5.4-01")
@pytest.mark.parametrize("port", [25, 587])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused(guest: Guest, port: int, version: ssl.TLSVersion, seen: Seen) -> None:
    client = "relay" if port == 25 else "submission"
    with pytest.raises(ssl.SSLError) as refused, secure(guest, port, client, exactly(version)):
        pass
    seen(refused.value)
    assert "ALERT" in (refused.value.reason or "")  # the server's word, not our own library's


@pytest.mark.control("CCN681-6.5.4-01")
def test_old_tls_is_refused_before_postscreen_lets_in(host: Any, guest: Guest, seen: Seen) -> None:
    forget_clients(host)
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(guest.connect(25, "peer"))
        smtp = early_talker(sock)
        smtp._host = guest.address  # type: ignore[attr-defined]
        with pytest.raises((ssl.SSLError, OSError, smtplib.SMTPException)) as refused:
            smtp.starttls(context=exactly(ssl.TLSVersion.TLSv1_1))
    seen(refused.value)


@pytest.mark.control("CCN681-6.5.4-02")
@pytest.mark.parametrize("port", [25, 587])
def test_strong_suites_only(guest: Guest, port: int, seen: Seen) -> None:
    client = "relay" if port == 25 else "submission"
    weak = exactly(ssl.TLSVersion.TLSv1_2)
    others = {cipher["name"] for cipher in weak.get_ciphers() if cipher["protocol"] != "TLSv1.3"} - SUITES
    weak.set_ciphers(":".join(sorted(others)) + ":@SECLEVEL=0")
    with pytest.raises(ssl.SSLError) as refused, secure(guest, port, client, weak):
        pass
    with secure(guest, port, client, exactly(ssl.TLSVersion.TLSv1_2)) as smtp:
        taken = smtp.sock.cipher()  # type: ignore[union-attr]
    seen(f"{len(others)} other suites: {refused.value}; {taken}")
    assert len(others) > 20
    assert "ALERT_HANDSHAKE_FAILURE" in (refused.value.reason or "")
    assert taken[0] in SUITES


@pytest.mark.control("CCN681-6.5.4-03")
def test_port_25_asks_for_tls(plan: Plan, guest: Guest, main_cf: dict[str, str], seen: Seen) -> None:
    level = plan.profile.values.tls_level
    with talk(guest, 25, "relay") as smtp:
        smtp.ehlo()
        offered = "starttls" in smtp.esmtp_features
        clear = smtp.docmd("MAIL FROM:<prueba@ejemplo.org>")[0]
    seen(f"{level}: STARTTLS {offered}, MAIL in clear {clear}")
    assert main_cf["smtpd_tls_security_level"] == level
    assert offered
    assert clear == (530 if level == "encrypt" else 250)


@pytest.mark.control("CCN681-6.5.4-04")
def test_submission_takes_no_mail_in_clear(guest: Guest, seen: Seen) -> None:
    with talk(guest, 587, "submission") as smtp:
        smtp.ehlo()
        answers = "starttls" in smtp.esmtp_features, smtp.docmd("MAIL FROM:<prueba@ejemplo.org>")[0]
    seen(answers)
    assert answers == (True, 530)


@pytest.mark.control("CCN681-6.5.4-05")
def test_certificate_and_key(plan: Plan, guest: Guest, facts: Facts, seen: Seen) -> None:
    modes = [line for line in facts["modes"] if "/pki/" in line]
    seen(f"{modes}; {facts['cert']}")
    assert modes == [f"600 root:root {KEY}", f"644 root:root {CERT}"]
    assert facts["keys"] == [KEY]
    assert facts["key"][0] == "-----BEGIN PUBLIC KEY-----"
    assert facts["key"] == facts["public"]
    if plan.site.tls.certificate is None:
        assert any(f"DNS:{plan.site.host.name}" in line for line in facts["cert"])
    assert facts["cert"][-1] == "Certificate will not expire"


@pytest.mark.control("CCN681-6.5.4-05")
@pytest.mark.parametrize("port", [25, 587])
def test_certificate_is_the_one_shown(guest: Guest, facts: Facts, port: int, seen: Seen) -> None:
    with secure(guest, port, "relay" if port == 25 else "submission") as smtp:
        shown = ssl.DER_cert_to_PEM_cert(smtp.sock.getpeercert(binary_form=True))  # type: ignore[union-attr]
    seen(shown.splitlines()[1])
    assert shown.splitlines() == facts["shown"]


@pytest.mark.control("CCN681-6.5.4-07")
def test_sending_is_as_strict(plan: Plan, main_cf: dict[str, str], facts: Facts, seen: Seen) -> None:
    for side in ("smtp", "lmtp"):
        for name in (f"{side}_tls_protocols", f"{side}_tls_mandatory_protocols"):
            assert set(main_cf[name].split(", ")) == WITHOUT, name
        assert main_cf[f"{side}_tls_ciphers"] == main_cf[f"{side}_tls_mandatory_ciphers"] == "high"
        assert main_cf[f"{side}_tls_fingerprint_digest"] == "sha256"
    seen(f"smtp_tls_security_level = {main_cf['smtp_tls_security_level']}; {facts['ca']}")
    assert main_cf["smtp_tls_security_level"] == plan.profile.values.tls_level
    assert set(main_cf["tls_high_cipherlist"].split(":")) == SUITES
    assert facts["ca"]


@pytest.mark.control("CCN681-6.5.4-08")
def test_no_resumption_nor_compression(host: Any, guest: Guest, main_cf: dict[str, str], seen: Seen) -> None:
    with secure(guest, 25, "relay", exactly(ssl.TLSVersion.TLSv1_2)) as smtp:
        tls: Any = smtp.sock
        session, compression = tls.session, tls.compression()
    seen(f"{main_cf['tls_ssl_options']}; ticket {session.has_ticket}, compression {compression}")
    assert not session.has_ticket
    assert compression is None
    assert int(main_cf["tls_ssl_options"].split(", ")[2], 16) == ssl.OP_NO_RENEGOTIATION
    assert host.run("grep 'unknown tls_ssl_options' /var/log/maillog").stdout == ""


@pytest.mark.control("CCN681-6.5.4-09")
def test_auth_does_not_exist_in_clear(guest: Guest, seen: Seen) -> None:
    with talk(guest, 587, "submission") as smtp:
        smtp.ehlo()
        offered = "auth" in smtp.esmtp_features
        code = smtp.docmd("AUTH PLAIN AGEAYg==")[0]
    seen(f"offered {offered}, answer {code}")
    assert not offered
    assert code in {503, 530, 538}


@pytest.mark.control("CCN681-6.5.4-10")
def test_auth_does_not_exist_on_25(guest: Guest, seen: Seen) -> None:
    with talk(guest, 25, "relay") as smtp:
        smtp.ehlo()
        clear = "auth" in smtp.esmtp_features
    with secure(guest, 25, "relay") as smtp:
        covered = "auth" in smtp.esmtp_features
        code = smtp.docmd("AUTH PLAIN AGEAYg==")[0]
    seen(f"offered {clear}, {covered}; answer {code}")
    assert not clear
    assert not covered
    assert 500 <= code < 560


@pytest.fixture(scope="module")
def users(host: Any) -> Iterator[dict[str, str]]:
    """Three accounts of the throwaway guest, the last of them no mail user; user -> password."""
    made = {f"forja-{name}": new_password() for name in ("correo", "con.punto", "ajeno")}
    for name, password in made.items():
        group = "" if name == "forja-ajeno" else "-G correo"
        host.check_output(
            f"useradd -M -s /usr/sbin/nologin {group} {name}; echo '{name}:{password}' | chpasswd"
        )
    yield made
    for name in made:
        host.run(f"faillock --dir /var/run/faillock --user {name} --reset; userdel {name}")


@pytest.mark.control("CCN681-6.5.4-11")
@pytest.mark.parametrize(
    ("mechanism", "name"),
    [("PLAIN", "forja-correo"), ("LOGIN", "forja-correo"), ("PLAIN", "forja-con.punto")],
)
def test_mail_user_submits(
    plan: Plan, guest: Guest, users: dict[str, str], mechanism: str, name: str, seen: Seen
) -> None:
    with secure(guest, 587, "submission") as smtp:
        offered = smtp.esmtp_features["auth"].split()
        smtp.user, smtp.password = name, users[name]
        object_ = smtp.auth_plain if mechanism == "PLAIN" else smtp.auth_login
        code, _ = smtp.auth(mechanism, object_, initial_response_ok=mechanism == "PLAIN")
        answer = recipient(smtp, "<alguien@destino.example>", f"{name}@{plan.site.mail.domain}")
    seen(f"{offered}: {mechanism} {code}; {answer}")
    assert set(offered) == {"PLAIN", "LOGIN"}
    assert code == 235
    assert answer[0] == 250


@pytest.mark.control("CCN681-6.5.4-14")
def test_mail_user_sends_as_nobody_else(plan: Plan, guest: Guest, users: dict[str, str], seen: Seen) -> None:
    domain = plan.site.mail.domain
    with secure(guest, 587, "submission") as smtp:
        before = recipient(smtp, "<alguien@destino.example>", f"forja-correo@{domain}")
        smtp.login("forja-correo", users["forja-correo"])
        answers = [
            recipient(smtp, "<alguien@destino.example>", sender)
            for sender in (f"jefatura@{domain}", "forja-correo@destino.example")
        ]
    seen(f"{before}; {answers}")
    assert 550 <= before[0] < 560
    assert [code for code, _ in answers] == [553, 553]


@pytest.mark.control("CCN681-6.5.4-13")
def test_who_is_no_mail_user_does_not_authenticate(
    plan: Plan, guest: Guest, users: dict[str, str], seen: Seen
) -> None:
    with secure(guest, 587, "submission") as smtp:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            smtp.login("forja-ajeno", users["forja-ajeno"])
        code, text = recipient(smtp, f"<alguien@{plan.site.mail.domain}>")
    seen(f"{refused.value.smtp_code}; then {code} {text}")
    assert refused.value.smtp_code == 535
    assert 550 <= code < 560


@pytest.mark.control("CCN681-6.5.4-13")
def test_repeated_failures_lock_the_account(host: Any, users: dict[str, str], seen: Seen) -> None:
    check = "testsaslauthd -s smtp -f /run/saslauthd/mux -u forja-correo -p"
    good = f"{check} {users['forja-correo']}"
    said = host.run(
        # At once: each makes whoever tries wait.
        f"{good}; for i in 1 2 3 4 5; do {check} mala & done; wait; {good};"
        f" faillock --dir /var/run/faillock --user forja-correo --reset; {good}"
    ).stdout.splitlines()
    seen(said)
    assert [line.split()[1] for line in said] == ["OK", *["NO"] * 6, "OK"]


@pytest.mark.control("CCN681-6.5.4-12")
def test_only_postfix_reaches_saslauthd(host: Any, facts: Facts, seen: Seen) -> None:
    folder = [line for line in facts["modes"] if line.endswith("/run/saslauthd")]
    target, options = facts["mount"][0].split()
    others = host.run("runuser -u nobody -- test -e /run/saslauthd/mux").rc
    inside = host.run(f"runuser -u postfix -- test -S {JAIL}/run/saslauthd/mux").rc
    seen(f"{folder}; {target} {options}; nobody {others}, postfix {inside}")
    assert folder == ["710 root:postfix /run/saslauthd"]
    assert target == f"{JAIL}/run/saslauthd"
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))
    assert others != 0
    assert inside == 0
