"""The relay as its neighbours see it: who may send what, limits, postscreen (CCN-STIC-681, 6.4.3, 6.5.7)."""

from __future__ import annotations

import contextlib
import re
import smtplib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from smtp import (
    SMTP_SECONDS,
    await_line,
    early_talker,
    forget_clients,
    look,
    read_main_cf,
    recipient,
    reload_postscreen,
    secure,
    send,
    talk,
    tls_context,
)

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest

Seen = Callable[[object], None]


@pytest.fixture(scope="module")
def main_cf(host: Any) -> dict[str, str]:
    return read_main_cf(host)


@pytest.mark.control("CCN681-6.4.1-02")
@pytest.mark.parametrize("port", [25, 587])
def test_greeting_tells_no_version(plan: Plan, guest: Guest, port: int, seen: Seen) -> None:
    with guest.connect(port, "relay" if port == 25 else "submission") as sock:
        sock.settimeout(SMTP_SECONDS)
        banner = sock.makefile("rb").readline().decode().strip()
    seen(banner)
    assert banner == f"220 {plan.site.host.name} ESMTP"


@pytest.mark.control("CCN681-6.4.3-01")
def test_relay_client_may_send_anywhere(
    plan: Plan, guest: Guest, main_cf: dict[str, str], seen: Seen
) -> None:
    with secure(guest, 25, "relay") as smtp:
        code, text = recipient(smtp, "<alguien@destino.example>", "prueba@ejemplo.org")
    seen(f"mynetworks = {main_cf['mynetworks']}; {code} {text}")
    assert code == 250
    assert main_cf["mynetworks"].split(", ") == ["127.0.0.0/8", *map(str, plan.site.mail.networks)]


@pytest.mark.control("CCN681-6.4.3-02")
def test_peer_can_not_relay(guest: Guest, main_cf: dict[str, str], seen: Seen) -> None:
    with secure(guest, 25, "peer") as smtp:
        code, text = recipient(smtp, "<alguien@destino.example>")
    lists = [main_cf[f"smtpd_{name}_restrictions"] for name in ("relay", "recipient")]
    seen(f"{code} {text}; {lists}")
    for restrictions in lists:  # either refuses; both must stand
        before, _, policies = restrictions.partition(", check_policy_service ")
        assert before.split(", ")[-2:] == ["permit_mynetworks", "reject_unauth_destination"]
        assert "permit" not in policies
    assert code == 554
    assert "Relay access denied" in text


@pytest.mark.control("CCN681-6.4.3-03")
def test_peer_reaches_relay_domains_only(plan: Plan, guest: Guest, seen: Seen) -> None:
    domain = plan.site.mail.relay_domains[0]
    with secure(guest, 25, "peer") as smtp:
        answers = [
            recipient(smtp, f"<alguien@{name}>")[0] for name in (domain, f"otro.{domain}", f"x{domain}")
        ]
    seen(f"{domain}: {answers}")
    # 450: past relay control, the SPF service has no DNS to ask (mail/ has one).
    assert answers[0] in ({250, 450} if plan.has("spf") else {250})
    assert answers[1:] == [554, 554]


@pytest.mark.control("CCN681-6.4.4-03")
def test_no_local_recipient_but_aliases(plan: Plan, guest: Guest, seen: Seen) -> None:
    name = plan.site.host.name
    with secure(guest, 25, "relay") as smtp:
        answers = [
            recipient(smtp, f"<{user}@{name}>")[0]
            for user in ("abuse", plan.site.admin.user, "daemon", "postfix")
        ]
    seen(answers)
    assert answers == [250, 550, 550, 550]


@pytest.mark.control("CCN681-6.5-23")
def test_vrfy_and_etrn_are_off(guest: Guest, seen: Seen) -> None:
    with secure(guest, 25, "relay") as smtp:
        words = set(smtp.esmtp_features)
        answers = [smtp.docmd(command)[0] for command in ("VRFY root", "EXPN root", "ETRN ejemplo.es")]
    seen(f"{sorted(words)}; {answers}")
    assert not words & {"vrfy", "etrn", "expn", "dsn", "chunking", "smtputf8"}
    assert {"pipelining", "size", "8bitmime", "enhancedstatuscodes"} <= words
    assert answers[0] == 502
    assert answers[1] in {500, 502}
    assert 500 <= answers[2] < 560


@pytest.mark.control("CCN681-6.5-24")
def test_helo_is_demanded(guest: Guest, seen: Seen) -> None:
    with secure(guest, 25, "peer", hello=False) as smtp:
        without = smtp.docmd("MAIL FROM:<>")[0]
    seen(without)
    assert without == 503


@pytest.mark.control("CCN681-6.5-25")
def test_envelope_addresses_keep_to_the_standard(guest: Guest, seen: Seen) -> None:
    with secure(guest, 25, "relay") as smtp:
        answers = [
            smtp.docmd(command)[0]
            for command in ("MAIL FROM: prueba@ejemplo.org", "MAIL FROM:<Nombre <prueba@ejemplo.org>>")
        ]
    seen(answers)
    assert answers == [501, 501]


@pytest.mark.control("CCN681-6.5-26")
def test_commands_ahead_of_data_are_refused(guest: Guest, seen: Seen) -> None:
    with secure(guest, 25, "relay") as smtp:
        assert smtp.docmd("MAIL FROM:<prueba@ejemplo.org>")[0] == 250
        assert smtp.docmd("RCPT TO:<alguien@destino.example>")[0] == 250
        smtp.send("DATA\r\nSubject: x\r\n\r\nx\r\n.\r\nNOOP\r\n")
        code, text = smtp.getreply()
    seen(f"{code} {text!r}")
    assert code == 503


@pytest.mark.control("CCN681-6.5-27")
def test_a_client_has_limits(guest: Guest, main_cf: dict[str, str], seen: Seen) -> None:
    rates = ("connection", "message", "recipient", "new_tls_session", "auth")
    names = ["smtpd_client_connection_count_limit", *(f"smtpd_client_{rate}_rate_limit" for rate in rates)]
    seen([f"{name} = {main_cf[name]}" for name in names])
    assert [name for name in names if int(main_cf[name]) <= 0] == []
    limit = int(main_cf["smtpd_client_connection_count_limit"])
    with contextlib.ExitStack() as stack:
        for _ in range(limit):
            stack.enter_context(guest.connect(25, "peer"))
        last = stack.enter_context(guest.connect(25, "peer"))
        last.settimeout(SMTP_SECONDS)
        answer = last.recv(200).decode()
    seen(f"connection {limit + 1}: {answer}")
    assert answer.startswith("421 ")


@pytest.mark.control("CCN681-6.5-28")
def test_size_of_messages_is_limited(plan: Plan, guest: Guest, seen: Seen) -> None:
    limit = plan.site.mail.message_limit_mib * 1048576
    with secure(guest, 25, "relay") as smtp:
        offered = smtp.esmtp_features["size"]
        over = smtp.docmd(f"MAIL FROM:<prueba@ejemplo.org> SIZE={limit + 1}")[0]
        within = smtp.docmd(f"MAIL FROM:<prueba@ejemplo.org> SIZE={limit - 1}")[0]
    seen(f"SIZE {offered}: {over}, {within}")
    assert (int(offered), over, within) == (limit, 552, 250)


@pytest.mark.control("CCN681-6.5-30")
def test_too_many_errors_end_the_session(guest: Guest, main_cf: dict[str, str], seen: Seen) -> None:
    with talk(guest, 25, "relay") as smtp:
        smtp.ehlo()
        answers = []
        with contextlib.suppress(smtplib.SMTPServerDisconnected):
            for _ in range(20):
                answers.append(smtp.docmd("ERROR")[0])
    seen(answers)
    assert main_cf["smtpd_hard_error_limit"] == "${stress?{1}:{10}}"
    assert len(answers) <= 12
    assert answers[-1] == 421


@pytest.mark.control("CCN681-6.5.7-01")
def test_postscreen_answers_25_and_not_587(plan: Plan, host: Any, guest: Guest, seen: Seen) -> None:
    forget_clients(host)
    services = look(host, {"services": "postconf -M 2>/dev/null"})["services"]
    inet = sorted(tuple(line.split()[i] for i in (0, 6, 7)) for line in services if " inet " in line)
    with guest.connect(25, "peer") as sock:
        sock.settimeout(SMTP_SECONDS)
        first = sock.recv(200).decode()
        port = sock.getsockname()[1]
        rest = first if re.search(r"^220 ", first, re.MULTILINE) else sock.recv(400).decode()
    address = re.escape(guest.client_address("peer"))
    logged = await_line(
        host,
        rf"grep -E 'postscreen\[[0-9]+\]: (CONNECT from|PASS NEW) \[?{address}\]?:{port}' /var/log/maillog",
    )
    seen(f"{inet}; {first!r}; {rest!r}; {logged}")
    inner = [("127.0.0.1:10025", "-", "smtpd")] if plan.has("amavis") else []
    assert inet == [*inner, ("smtp", "1", "postscreen"), ("submission", "-", "smtpd")]
    assert first.startswith("220-")
    assert "CONNECT from" in logged


@pytest.mark.control("CCN681-6.5.7-03")
def test_early_talker_is_refused(plan: Plan, host: Any, guest: Guest, seen: Seen) -> None:
    forget_clients(host)
    with guest.connect(25, "peer") as sock:
        smtp = early_talker(sock)
        smtp._host = guest.address  # type: ignore[attr-defined]
        assert smtp.starttls(context=tls_context())[0] == 220
        smtp.ehlo()
        code, text = recipient(smtp, f"<postmaster@{plan.site.host.name}>")
    seen(f"{code} {text}")
    assert code == 550


@pytest.mark.control("CCN681-6.5.7-02")
def test_banned_client_is_dropped(host: Any, guest: Guest, seen: Seen) -> None:
    table = "/etc/postfix/postscreen_access.cidr"
    address = guest.client_address("peer")
    reload_postscreen(host, f"cp -p {table} /run/{address} && echo '{address}/32 reject' >> {table}")
    try:
        with guest.connect(25, "peer") as sock:
            sock.settimeout(SMTP_SECONDS)
            answer = sock.recv(200).decode()
            closed = sock.recv(200)
    finally:
        reload_postscreen(host, f"cp -p /run/{address} {table} && rm /run/{address}")
    seen(answer)
    assert answer.startswith("521 ")
    assert closed == b""


@pytest.mark.control("CCN681-6.5.7-04")
def test_no_dns_lists_without_internet(plan: Plan, main_cf: dict[str, str], seen: Seen) -> None:
    seen(f"annex {plan.profile.annex}: postscreen_dnsbl_sites = {main_cf['postscreen_dnsbl_sites']}")
    assert plan.profile.annex != "B" or main_cf["postscreen_dnsbl_sites"] == ""
    assert main_cf["postscreen_dnsbl_action"] == "enforce"


@pytest.mark.control("CCN681-6.5.7-09")
def test_dns_lists_are_those_of_the_site(plan: Plan, main_cf: dict[str, str], seen: Seen) -> None:
    seen({name: value for name, value in main_cf.items() if name.startswith("postscreen_dnsbl_")})
    asked = [item.strip() for item in main_cf["postscreen_dnsbl_sites"].split(",") if item.strip()]
    assert asked == [item.entry for item in plan.site.mail.dns_lists]
    assert plan.profile.values.dns_lists_allowed or not asked
    assert main_cf["postscreen_dnsbl_threshold"] == str(plan.site.mail.dns_lists_threshold)


PLAIN = "Subject: prueba\nMIME-Version: 1.0\n"
PART = (
    'Content-Type: multipart/mixed; boundary="x"\n\n'
    "--x\nContent-Type: application/octet-stream\n{}\n\n{}\n--x--"
)
NAMES = [
    'Content-Disposition: attachment; filename="informe.exe"',
    'Content-Disposition: attachment;\n\tfilename=INFORME.SCR',
    "Content-Disposition: attachment; filename*=utf-8''informe%2Eexe",
    'Content-Disposition: attachment; filename*0="informe.v"; filename*1="bs"',
    'Content-Disposition: attachment; filename="=?utf-8?Q?informe=2Ejs?="',
]  # fmt: skip


BODIES = [
    r"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*",
    "TVqQAAMAAAAEAAAA//8AALgAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "f0VMRgIBAQAAAAAAAAAAAAMAPgABAAAA0GIAAAAAAABAAAAAAAAAAGjXAQAAAAAAAAAAAEAAOAAN",
    "begin 644 informe.exe",
]


@pytest.mark.control("CCN681-6.5.7-05")
def test_forged_from_is_refused(plan: Plan, guest: Guest, seen: Seen) -> None:
    ours = f"jefatura@{plan.site.mail.domain}"
    headers = {
        f'From: "{ours}" <x@destino.example>': 550,
        f"From: Jefatura <{ours}> <x@destino.example>": 550,
        f'From: "{ours}" <{ours}>': 250,
        "From: Otra persona <x@destino.example>": 250,
    }
    with secure(guest, 25, "relay") as smtp:
        answers = {header: send(smtp, f"{header}\n{PLAIN}\nprueba")[0] for header in headers}
    seen(answers)
    assert answers == headers


@pytest.mark.control("CCN681-6.5.7-06")
def test_executable_attachments_are_refused(guest: Guest, seen: Seen) -> None:
    with secure(guest, 25, "relay") as smtp:
        refused = [send(smtp, PLAIN + PART.format(name, "prueba")) for name in NAMES]
        good = send(
            smtp, PLAIN + PART.format('Content-Disposition: attachment; filename="informe.exe.pdf"', "prueba")
        )
    seen(f"{refused}; {good}")
    assert [code for code, _ in refused] == [550] * len(NAMES)
    assert good[0] == 250


@pytest.mark.control("CCN681-6.5.7-07")
def test_programs_are_refused_by_their_marks(guest: Guest, seen: Seen) -> None:
    with secure(guest, 25, "relay") as smtp:
        refused = [
            send(smtp, PLAIN + PART.format("Content-Transfer-Encoding: base64", body)) for body in BODIES
        ]
        good = send(
            smtp, PLAIN + PART.format("Content-Transfer-Encoding: base64", "cHJ1ZWJhIGRlIHRleHRvIG5vcm1hbA==")
        )
    seen(f"{refused}; {good}")
    assert [code for code, _ in refused] == [550] * len(BODIES)
    assert good[0] == 250
