"""What Postfix does for the server itself: local mail, notices, commands (CCN-STIC-681, 6.3 to 6.5.1)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from smtp import ARRIVE, Facts, await_line, look, recipient, secure, send, talk

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest

Seen = Callable[[object], None]

COMPONENTS = {
    "postfix": ("postfix-3.3.1-12.el8_3.1", "openssl"),
    "amavis": ("amavis",),
    "clamav": ("clamd",),
    "spamassassin": ("spamassassin",),
    "gnupg": ("gnupg2",),
    "spf": ("pypolicyd-spf",),
    "dkim": ("opendkim",),
}
"""Section 6.3 of the guide, a) to g): overlay -> packages."""
LOCAL_TABLES = {"btree", "cidr", "hash", "regexp", "texthash"}
"""Table types of Postfix itself; others are packages of their own (postfix-ldap, postfix-mysql, ...)."""
AS_NOBODY = {
    "stop": "postfix stop",
    "reload": "postfix reload",
    "configure": "postconf -e soft_bounce=yes",
    "delete": "postsuper -d ALL",
    "read": "ls /var/spool/postfix/deferred /var/spool/postfix/incoming",
}


@pytest.fixture(scope="module")
def facts(plan: Plan, host: Any, guest: Guest) -> Facts:
    """What one look at the machine tells, tlsmgr having something to do."""
    with secure(guest, 25, "relay"):
        return look(
            host,
            {
                "settings": "postconf -n; postconf -P",
                "types": "postconf -m",
                "sasl": "postconf -a",
                "random": "postconf -h tls_random_source tls_random_exchange_name;"
                " stat -c '%a %U %s' /var/lib/postfix/prng_exch;"
                " readlink /proc/$(pgrep -o -x tlsmgr)/fd/* | grep random",
                **{
                    f"package_{number}": f"{plan.platform.tools.query_package} {name}"
                    for number, name in enumerate(components(plan))
                },
            },
        )


def components(plan: Plan) -> list[str]:
    """Return this platform's packages of the components that the plan has."""
    asked = [name for overlay, names in COMPONENTS.items() if plan.has(overlay) for name in names]
    return [real for name in asked for real in plan.platform.package(name)]


@pytest.mark.control("CCN681-6.3-02")
def test_components_of_the_guide_are_installed(plan: Plan, facts: Facts, seen: Seen) -> None:
    found = {name: " ".join(facts[f"package_{number}"]) for number, name in enumerate(components(plan))}
    seen(found)
    assert len(found) > 1
    for name, said in found.items():
        assert said.startswith(name), name
        assert re.search(r"\d", said.removeprefix(name)), name  # a version


@pytest.mark.control("CCN681-6.5-31")
def test_tables_are_local(facts: Facts, seen: Seen) -> None:
    text = "\n".join(facts["settings"])
    used = set(re.findall(r"\b([a-z]+):(?=[/$])", text))
    seen(f"used: {sorted(used)}; compiled in: {' '.join(facts['types'])}; SASL: {facts['sasl']}")
    assert {"hash", "regexp", "texthash"} <= used <= LOCAL_TABLES
    assert used <= set(facts["types"])
    assert not re.search(r"\b(ldap|mysql|pgsql|sqlite|memcache|socketmap|tcp|proxy):", text)
    assert "cyrus" in facts["sasl"]


@pytest.mark.control("CCN681-6.3.4-02")
def test_randomness_of_tls(facts: Facts, seen: Seen) -> None:
    source, exchange, state, *opened = facts["random"]
    seen(facts["random"])
    assert source == "dev:/dev/urandom"
    assert exchange in {"${data_directory}/prng_exch", "/var/lib/postfix/prng_exch"}
    assert state == "600 postfix 1024"
    assert [path for path in opened if path.endswith("/urandom")]


@pytest.mark.control("CCN681-6.3.5-03")
def test_others_do_not_control_postfix(host: Any, seen: Seen) -> None:
    state = "cksum /etc/postfix/main.cf; pgrep -o -x master; postfix status >/dev/null 2>&1; echo $?"
    said = look(
        host,
        {
            "before": state,
            **{name: f"cd /; runuser -u nobody -- {command}; echo $?" for name, command in AS_NOBODY.items()},
            "after": state,
        },
    )
    seen({name: said[name] for name in AS_NOBODY})
    assert [name for name in AS_NOBODY if said[name][-1] == "0"] == []
    assert said["before"] == said["after"]
    assert said["after"][-1] == "0"


@pytest.fixture(scope="module")
def stopped(plan: Plan, host: Any, acting: None) -> tuple[str, str, Facts]:
    """Send a message and log a line while Postfix is stopped; their marks, and what was seen then."""
    letter, line = uuid.uuid4().hex, uuid.uuid4().hex
    wait = "i=0; while [ $i -lt 300 ]; do {} && break; sleep 0.2; i=$((i + 1)); done"
    facts = look(
        host,
        {
            "down": f"systemctl stop postfix; {wait.format('! pgrep -x master')} >/dev/null;"
            " postfix status 2>/dev/null; echo $?",
            "sent": f"printf 'Subject: {letter}\\n\\nprueba\\n' | sendmail postmaster; echo $?",
            "waits": f"grep -rl {letter} /var/spool/postfix/maildrop",
            "others": f"grep -rl {letter} /var/spool/postfix/incoming /var/spool/postfix/active",
            "logged": f"postlog -t postfix/prueba {line}; echo $?",
            "up": f"systemctl start postfix; {wait.format('postfix status 2>/dev/null')}; echo $?",
        },
    )
    await_line(host, "ss -Hltn 'sport = :25'")
    return letter, line, facts


@pytest.mark.control("CCN681-6.3.1-01")
def test_mail_waits_in_maildrop_while_postfix_is_stopped(
    plan: Plan, host: Any, stopped: tuple[str, str, Facts], seen: Seen
) -> None:
    letter, _, facts = stopped
    mailbox = f"/var/mail/{plan.site.admin.user}"
    found = await_line(host, f"grep -l {letter} {mailbox}", ARRIVE)
    gone = host.run(f"grep -rl {letter} /var/spool/postfix/maildrop").stdout
    seen(f"stopped: {facts['waits']}; then {found}")
    assert facts["down"] != ["0"]
    assert facts["sent"][-1] == "0"
    assert len(facts["waits"]) == 1
    assert facts["others"] == []
    assert (found, gone) == (mailbox, "")


@pytest.mark.control("CCN681-6.5.1-05")
def test_commands_log_while_postfix_is_stopped(
    host: Any, stopped: tuple[str, str, Facts], seen: Seen
) -> None:
    """By syslog, the only way in 3.3.1: no service and no setting of a later Postfix stands in its place."""
    _, line, facts = stopped
    found = await_line(host, f"grep -h {line} /var/log/maillog")
    said = look(host, {"services": "postconf -M", "settings": "postconf -n"})
    later = [text for text in said["services"] + said["settings"] if re.match(r"postlog|maillog_", text)]
    seen(f"{found}; {later}")
    assert facts["logged"][-1] == "0"
    assert "postfix/prueba" in found
    assert later == []


@pytest.mark.control("CCN681-6.5.1-06")
def test_identifiers_do_not_come_again(host: Any, guest: Guest, seen: Seen) -> None:
    """Seconds and microseconds, `z`, the file's number: the short ones are microseconds and number only."""
    with secure(guest, 25, "relay") as smtp:
        _, answer = send(smtp, "Subject: prueba\n\nprueba")
    queued = answer.rpartition(" ")[2]
    count = f"grep -c 'cleanup.*: {queued}: message-id=' /var/log/maillog | grep -v '^0$'"
    logged = await_line(host, count)
    seen(f"{queued}: {logged}")
    # Seconds and microseconds in base 52, z, and the inode in base 51, which has no z.
    digit = "0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y"
    assert re.fullmatch(rf"[{digit}z]{{10,}}z[{digit}]+", queued)
    assert logged == "1"


@pytest.mark.control("CCN681-6.3.2-01")
def test_local_delivery_runs_nothing(plan: Plan, host: Any, guest: Guest, seen: Seen) -> None:
    """A .forward is not read, and an alias can't name a command or a file, whoever wrote it there."""
    admin, name = plan.site.admin.user, plan.site.host.name
    token = uuid.uuid4().hex
    home = f"$(getent passwd {admin} | cut -d: -f6)"
    host.check_output(
        'cp -p /etc/aliases /run/forja-aliases; printf \'forja-orden: "|/bin/true"\\n'
        "forja-archivo: /var/mail/forja-archivo\\n' >>/etc/aliases; newaliases;"
        f" echo '|/bin/true' >{home}/.forward; chown {admin} {home}/.forward; chmod 600 {home}/.forward"
    )
    try:
        with secure(guest, 25, "relay") as smtp:
            answers = [
                send(smtp, f"Subject: {token}\n\nprueba", to=f"{to}@{name}", sender="")[0]
                for to in ("postmaster", "forja-orden", "forja-archivo")
            ]
        ends = {
            to: await_line(
                host, rf"grep -E 'local\[[0-9]+\]: .*forja-{to}.*status=' /var/log/maillog", ARRIVE
            )
            for to in ("orden", "archivo")
        }
        found = await_line(host, f"grep -l {token} /var/mail/{admin}", ARRIVE)
        made = host.run("ls /var/mail/forja-archivo").rc == 0
    finally:
        host.check_output(f"mv /run/forja-aliases /etc/aliases; newaliases; rm -f {home}/.forward")
    seen(f"{answers}; {ends}; {found}")
    assert answers == [250] * 3
    for end in ends.values():
        assert "status=bounced" in end
        assert "restricted" in end
    assert found == f"/var/mail/{admin}"
    assert not made


@pytest.mark.control("CCN681-6.4.4-02")
def test_a_lack_of_room_is_told_and_a_refusal_is_not(plan: Plan, host: Any, guest: Guest, seen: Seen) -> None:
    """A queue volume that is all but full; what policy refuses would only fill the mailbox."""
    refused, lacking = uuid.uuid4().hex, uuid.uuid4().hex
    with secure(guest, 25, "peer") as smtp:
        policy = recipient(smtp, "<alguien@destino.example>", f"{refused}@ejemplo.org")[0]
        smtp.quit()
    room = "$(($(df -B1 --output=avail . | tail -n 1) - $(postconf -h queue_minfree) / 2))"
    host.check_output(f"cd /var/spool/postfix && fallocate -l {room} forja-relleno")
    try:
        with secure(guest, 25, "relay") as smtp:
            lack = smtp.docmd(f"MAIL FROM:<{lacking}@ejemplo.org>")
            smtp.quit()  # the notice is written once the client has closed
    finally:
        host.check_output("rm /var/spool/postfix/forja-relleno")
    mailbox = f"/var/mail/{plan.site.admin.user}"
    told = await_line(host, f"grep -m 1 {lacking} {mailbox}", ARRIVE)
    untold = host.run(f"grep -c {refused} {mailbox}").stdout.strip()
    seen(f"{policy}: told {untold} times; {lack}: {told}")
    assert 450 <= policy < 560
    assert lack[0] == 452
    assert told
    assert untold == "0"


@pytest.mark.control("CCN681-6.4.2-02")
def test_a_destination_with_a_way_of_its_own(plan: Plan, host: Any, guest: Guest, seen: Seen) -> None:
    table = "/etc/postfix/transport"
    setting = host.check_output("postconf -h transport_maps")
    ours = look(host, {"table": f"grep -v '^#' {table}"})["table"]
    assert ours == [f"{route.domain} relay:{route.next_hop}" for route in plan.site.mail.routes]
    host.check_output(
        f"cp -p {table} /run/forja-transport && echo 'ruta.example error:5.1.1 ruta de prueba' >>{table}"
        " && postfix reload"
    )
    try:
        with secure(guest, 25, "relay") as smtp:
            routed, other = (recipient(smtp, f"<alguien@{name}.example>") for name in ("ruta", "destino"))
    finally:
        host.check_output(f"mv /run/forja-transport {table} && postfix reload")
    seen(f"{setting}; {routed}; {other}")
    assert setting == f"texthash:{table}"
    assert routed[0] == 550
    assert "ruta de prueba" in routed[1]
    assert other[0] == 250


@pytest.mark.control("CCN681-6.5.f-01")
def test_nobody_relays_unidentified(guest: Guest, seen: Seen) -> None:
    """Neither on 587 without a password, nor on 25 as another client (XCLIENT, XFORWARD)."""
    with secure(guest, 587, "submission") as smtp:
        unknown = recipient(smtp, "<alguien@destino.example>")[0]
    disguise = guest.client_address("relay")
    with secure(guest, 25, "peer") as smtp:
        offered = {"xclient", "xforward"} & set(smtp.esmtp_features)
        claims = [
            smtp.docmd(f"{word} NAME=relay.ejemplo.org ADDR={disguise}")[0]
            for word in ("XCLIENT", "XFORWARD")
        ]
        smtp.ehlo()
        after = recipient(smtp, "<alguien@destino.example>")[0]
    with talk(guest, 25, "relay") as smtp:
        smtp.ehlo()
        offered |= {"xclient", "xforward"} & set(smtp.esmtp_features)
    seen(f"587 without a password: {unknown}; claims {claims}, then {after}; offered {offered or 'none'}")
    assert 530 <= unknown < 560
    assert not offered
    assert all(500 <= code < 560 for code in claims)
    assert after == 554
