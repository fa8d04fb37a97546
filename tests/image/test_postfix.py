"""The relay as its clients and neighbours see it, and as it runs: CCN-STIC-681, 6.2 to 6.5.7."""

from __future__ import annotations

import contextlib
import csv
import re
import smtplib
import socket
import ssl
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from builder.ask.plan import Plan
from builder.ask.reading import REPOSITORY

if TYPE_CHECKING:
    from tests.image.conftest import Guest

Seen = Callable[[object], None]

SMTP_SECONDS = 90.0  # an emulated machine, whose resolver may have no server to answer
SUITES = {
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
}
JAILED = {
    "postscreen", "smtpd", "dnsblog", "tlsproxy", "smtp", "lmtp", "pickup", "cleanup", "qmgr", "tlsmgr",
    "trivial-rewrite", "bounce", "verify", "flush", "showq", "error", "discard", "anvil", "scache",
}  # fmt: skip
FREE = {"local", "virtual", "proxymap"}
JAIL = "/var/spool/postfix"
KEY = "/etc/pki/tls/private/forja-postfix.key"
CERT = "/etc/pki/tls/certs/forja-postfix.pem"

FACTS = r"""
fact() { printf '\n=== %s\n' "$1"; }
fact main; postconf -n 2>/dev/null
fact services; postconf -M 2>/dev/null
fact options; postconf -P 2>/dev/null
fact said; { postconf -n; postconf -M; postconf -P; } 2>&1 >/dev/null
fact check; script -qec 'postfix check' /dev/null 2>&1 | tr -d '\r'
fact modes; stat -c '%a %U:%G %n' /etc/postfix /etc/postfix/main.cf /etc/postfix/master.cf /etc/aliases \
    /usr/sbin/postdrop /usr/sbin/postqueue @KEY@ @CERT@ /var/log/maillog /var/log/maillog.err /run/saslauthd
fact writable; find /etc/postfix \( ! -user root -o -perm /022 \) ! -type l
fact queue; cd @JAIL@; stat -c '%a %U:%G %n' . active bounce corrupt defer deferred flush hold incoming maildrop \
    pid private public saved trace /var/lib/postfix
fact setgid; find /usr/sbin/post* @DAEMONS@ -perm /6000 -printf '%m %u:%g %p\n'
fact listening; ss -Hlntu | awk '{print $1, $5}'
fact jail; find @JAIL@/etc @JAIL@/lib64 @JAIL@/run -mindepth 1 -printf '%y %m %u:%g %P\n'; ls @JAIL@
fact differ; cd @JAIL@/etc; for file in *; do cmp "$file" "/etc/$file" 2>&1; done
fact mounts; findmnt -rno TARGET,OPTIONS @JAIL@/lib64; findmnt -rno TARGET,OPTIONS @JAIL@/run/saslauthd
fact libraries; for lib in @JAIL@/lib64/*; do LD_PRELOAD=$lib /bin/true 2>&1; find /lib64 /usr/lib64 \
    /lib/x86_64-linux-gnu -name "${lib##*/}" 2>/dev/null | while read -r own; do cmp "$lib" "$own" 2>&1; done; done
fact noexec; cp @JAIL@/lib64/libnss_files.so.2 @JAIL@/pid/try.so; LD_PRELOAD=@JAIL@/pid/try.so /bin/true 2>&1
    rm -f @JAIL@/pid/try.so
fact mta; readlink -f /usr/sbin/sendmail; ls /usr/sbin/exim* /usr/sbin/sendmail.sendmail /usr/bin/esmtp 2>/dev/null
fact enabled; systemctl is-enabled @UNITS@; systemctl is-active @UNITS@
fact aliases; for name in postmaster root abuse hostmaster mailer-daemon; do echo "$name $(postalias -q "$name" \
    hash:/etc/aliases)"; done; [ /etc/aliases -nt /etc/aliases.db ] && echo "aliases.db is older"
fact versionlock; grep -v '^#' /etc/dnf/plugins/versionlock.list
fact cert; openssl x509 -in @CERT@ -noout -subject -ext subjectAltName -checkend 86400
fact pair; openssl pkey -in @KEY@ -pubout; openssl x509 -in @CERT@ -noout -pubkey
fact ca; ls -L "$(postconf -xh smtp_tls_CAfile 2>/dev/null)"
fact rotation; logrotate -d /etc/logrotate.conf 2>&1
fact date; date '+%b %e %H:%M:%S'
"""


@pytest.fixture(scope="module")
def facts(plan: Plan, host: Any) -> dict[str, list[str]]:
    """What one look at the machine tells: name of the fact -> its lines."""
    units = " ".join(plan.platform.service(unit) for unit in ("postfix", "saslauthd"))
    script = (
        FACTS.replace("@JAIL@", JAIL).replace("@KEY@", KEY).replace("@CERT@", CERT).replace("@UNITS@", units)
    )
    script = script.replace("@DAEMONS@", plan.platform.path("/usr/libexec/postfix"))
    found: dict[str, list[str]] = {}
    name = ""
    for line in host.run(script).stdout.splitlines():
        if line.startswith("=== "):
            name = line[4:]
            found[name] = []
        elif line.strip():
            found[name].append(line)
    return found


@pytest.fixture(scope="module")
def main_cf(facts: dict[str, list[str]]) -> dict[str, str]:
    """Parameters in force by main.cf."""
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in facts["main"])}


def tls_context(**versions: ssl.TLSVersion) -> ssl.SSLContext:
    """Return a client that takes whatever the server offers, so that a refusal is the server's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name, version in versions.items():
            setattr(context, name, version)
    return context


def exactly(version: ssl.TLSVersion) -> ssl.SSLContext:
    return tls_context(minimum_version=version, maximum_version=version)


@contextlib.contextmanager
def talk(guest: Guest, port: int, client: str, helo: str = "cliente.ejemplo.org") -> Iterator[smtplib.SMTP]:
    """A session after the greeting; past postscreen's wait for a peer that is new."""
    with guest.connect(port, client) as sock:
        sock.settimeout(SMTP_SECONDS)
        smtp = smtplib.SMTP(local_hostname=helo, timeout=SMTP_SECONDS)
        smtp.sock = sock
        code, text = smtp.getreply()
        assert code == 220, f"greeting: {code} {text!r}"
        yield smtp


@contextlib.contextmanager
def secure(
    guest: Guest, port: int, client: str, context: ssl.SSLContext | None = None, *, hello: bool = True
) -> Iterator[smtplib.SMTP]:
    """A session under TLS, after EHLO unless told otherwise."""
    with talk(guest, port, client) as smtp:
        smtp.ehlo()
        smtp._host = guest.address  # type: ignore[attr-defined]
        assert smtp.starttls(context=context or tls_context())[0] == 220
        if hello:
            smtp.ehlo()
        yield smtp


def recipient(smtp: smtplib.SMTP, to: str, sender: str = "") -> tuple[int, str]:
    """Return the answer to a recipient, the transaction undone."""
    answer = smtp.docmd(f"MAIL FROM:<{sender}>")
    if answer[0] == 250:
        answer = smtp.docmd(f"RCPT TO:{to}")
    smtp.docmd("RSET")
    return answer[0], answer[1].decode(errors="replace")


def send(smtp: smtplib.SMTP, message: str, to: str = "alguien@destino.example") -> tuple[int, str]:
    """Return the answer at the end of a message."""
    for command, expected in (
        ("MAIL FROM:<prueba@ejemplo.org>", 250),
        (f"RCPT TO:<{to}>", 250),
        ("DATA", 354),
    ):
        code, text = smtp.docmd(command)
        assert code == expected, f"{command}: {code} {text!r}"
    smtp.send(message.replace("\n", "\r\n") + "\r\n.\r\n")
    code, text = smtp.getreply()
    return code, text.decode(errors="replace")


def await_line(host: Any, command: str, seconds: float = 40) -> str:
    """Return what a command prints as soon as it prints something; empty if it never does."""
    end = time.monotonic() + seconds
    while True:
        said: str = host.run(command).stdout.strip()
        if said or time.monotonic() > end:
            return said
        time.sleep(1)


# --- 4, 6.2, 6.3: what is installed -----------------------------------------------------------------------------


@pytest.mark.control("CCN681-4-01")
def test_lock_names_the_version(facts: dict[str, list[str]], seen: Seen) -> None:
    seen(facts["versionlock"])
    assert facts["versionlock"] == ["postfix-2:3.3.1-12.el8_3.1.*"]


@pytest.mark.control("CCN681-4-01")
@pytest.mark.needs("rpm")
def test_installed_version_is_the_locked_one(host: Any, seen: Seen) -> None:
    installed = host.check_output("rpm -q --qf '%{EPOCH}:%{VERSION}-%{RELEASE}' postfix")
    locked = host.check_output("dnf -q -C versionlock list")
    seen(f"{installed} / {locked}")
    assert installed == "2:3.3.1-12.el8_3.1"
    assert "postfix-2:3.3.1-12.el8_3.1.*" in locked.splitlines()


@pytest.mark.control("CCN681-6.3-01")
def test_postfix_is_the_only_mta(plan: Plan, facts: dict[str, list[str]], seen: Seen) -> None:
    seen(facts["mta"])
    assert facts["mta"] == [plan.platform.path("/usr/sbin/sendmail.postfix")]


@pytest.mark.control("CCN681-6.3.4-01")
def test_services_are_the_needed_ones(facts: dict[str, list[str]], seen: Seen) -> None:
    commands = {line.split()[7] for line in facts["services"]}
    network = {
        tuple(line.split()[i] for i in (0, 1, 7)) for line in facts["services"] if line.split()[1] != "unix"
    }
    seen(sorted(commands))
    assert commands == JAILED | FREE
    assert network == {
        ("smtp", "inet", "postscreen"),
        ("smtpd", "pass", "smtpd"),
        ("submission", "inet", "smtpd"),
    }


@pytest.mark.control("CCN681-6.3.5-01")
def test_setgid_programs(facts: dict[str, list[str]], seen: Seen) -> None:
    seen(facts["setgid"])
    wanted = [f"root:postdrop /usr/sbin/{name}" for name in ("postdrop", "postqueue")]
    assert sorted(line.split(" ", 1)[1] for line in facts["setgid"]) == wanted
    assert {line.split()[0] for line in facts["setgid"]} <= {"2755", "2555"}


@pytest.mark.control("CCN681-6.3.5-02")
def test_others_can_neither_submit_nor_see_the_queue(host: Any, seen: Seen) -> None:
    tries = (
        "postqueue -p",
        "postqueue -f",
        "sendmail -t </dev/null",
        "printf 'To: root\\n\\n' | sendmail -t",
    )
    for command in (tries[0], tries[1], tries[3]):
        done = host.run(f"cd /; runuser -u nobody -- sh -c {command!r}".replace("\\\\n", "\\n"))
        seen(f"{command}: {done.rc} {done.stderr.strip()}")
        assert done.rc != 0
        assert "not allowed" in done.stderr


# --- 6.4: configuration -----------------------------------------------------------------------------------------


@pytest.mark.control("CCN681-6.4-01")
def test_configuration_belongs_to_root(facts: dict[str, list[str]], seen: Seen) -> None:
    seen(facts["modes"][:3])
    assert facts["modes"][:3] == [
        "755 root:root /etc/postfix",
        "644 root:root /etc/postfix/main.cf",
        "644 root:root /etc/postfix/master.cf",
    ]
    assert facts["writable"] == []


@pytest.mark.control("CCN681-6.4-02")
def test_every_parameter_exists_in_3_3_1(
    facts: dict[str, list[str]], main_cf: dict[str, str], seen: Seen
) -> None:
    table = REPOSITORY / "overlays" / "postfix" / "parameters-3.3.1.tsv"
    with table.open() as file:
        known = {row["parameter"] for row in csv.DictReader(file, delimiter="\t")}
    options = {re.split(r"[/=\s]+", line)[2] for line in facts["options"]}
    seen(f"{len(main_cf)} + {len(options)} parameters; postconf says: {facts['said']}")
    assert set(main_cf) | options <= known
    assert len(main_cf) > 100
    assert facts["said"] == []


@pytest.mark.control("CCN681-6.4-03")
def test_postfix_check_is_silent(facts: dict[str, list[str]], seen: Seen) -> None:
    complaints = [line for line in facts["check"] if re.search(r"warning:|error:|fatal:|panic:", line)]
    seen(complaints or "no complaint")
    assert complaints == []


@pytest.mark.control("CCN681-6.4-04")
def test_queue_has_its_owners(facts: dict[str, list[str]], seen: Seen) -> None:
    seen(facts["queue"])
    modes = {line.split()[2]: " ".join(line.split()[:2]) for line in facts["queue"]}
    assert len(modes) == 16
    for name, mode in modes.items():
        if name in {".", "pid"}:
            assert mode == "755 root:root", name
        elif name == "maildrop":
            assert mode in {"730 postfix:postdrop", "1730 postfix:postdrop"}
        elif name == "public":
            assert mode in {"710 postfix:postdrop", "2710 postfix:postdrop"}
        else:
            assert re.fullmatch(r"700 postfix:(root|postfix)", mode), name


@pytest.mark.control("CCN681-6.4.1-01")
def test_name_of_the_server(plan: Plan, host: Any, main_cf: dict[str, str], seen: Seen) -> None:
    name = host.check_output("hostname -f || hostname")
    seen(f"{name}; {main_cf['myhostname']}; {main_cf['mydomain']}")
    assert main_cf["myhostname"] == plan.site.host.name == name
    assert main_cf["mydomain"] == plan.site.mail.domain


@pytest.mark.control("CCN681-6.4.1-02")
@pytest.mark.parametrize("port", [25, 587])
def test_greeting_tells_no_version(plan: Plan, guest: Guest, port: int, seen: Seen) -> None:
    with guest.connect(port, "relay" if port == 25 else "submission") as sock:
        sock.settimeout(SMTP_SECONDS)
        banner = sock.makefile("rb").readline().decode().strip()
    seen(banner)
    assert banner == f"220 {plan.site.host.name} ESMTP"


@pytest.mark.control("CCN681-6.4.2-01")
def test_delivery_goes_where_the_site_says(plan: Plan, main_cf: dict[str, str], seen: Seen) -> None:
    seen(main_cf["relayhost"] or "(direct)")
    assert main_cf["relayhost"] == (plan.site.mail.relayhost or "")


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
def test_peer_can_not_relay(guest: Guest, seen: Seen) -> None:
    with secure(guest, 25, "peer") as smtp:
        code, text = recipient(smtp, "<alguien@destino.example>")
    seen(f"{code} {text}")
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
    assert answers == [250, 554, 554]


@pytest.mark.control("CCN681-6.4.3-05")
def test_routes_in_addresses_do_not_relay(plan: Plan, guest: Guest, seen: Seen) -> None:
    ours, host = plan.site.mail.relay_domains[0], plan.site.host.name
    forms = [
        f"<alguien%destino.example@{host}>",
        f"<@{host}:alguien@destino.example>",
        f"<destino.example!alguien@{host}>",
        f'<"alguien@destino.example"@{host}>',
        f"<alguien@destino.example@{ours}>",
        f"<alguien%destino.example@[{guest.address}]>",
        "<destino.example!alguien>",
        "<alguien@[192.0.2.1]>",
    ]
    answers = {}
    for half in (forms[:4], forms[4:]):  # fewer errors than end a session
        with secure(guest, 25, "peer") as smtp:
            answers.update({form: recipient(smtp, form)[0] for form in half})
    seen(answers)
    # An address "in" a relay domain is passed on as it is, for the inner server to refuse: no relaying.
    assert {form for form, code in answers.items() if not 500 <= code < 560} <= {forms[4]}


@pytest.mark.control("CCN681-6.4.4-01")
def test_aliases_end_at_the_administrator(
    plan: Plan, host: Any, guest: Guest, facts: dict[str, list[str]], seen: Seen
) -> None:
    admin = plan.site.admin.user
    assert facts["aliases"] == [
        f"postmaster {admin}", "root postmaster", "abuse postmaster", "hostmaster postmaster",
        "mailer-daemon postmaster",
    ]  # fmt: skip
    token = uuid.uuid4().hex
    with secure(guest, 25, "relay") as smtp:
        code, text = send(smtp, f"Subject: {token}\n\nprueba", to=f"postmaster@{plan.site.host.name}")
    assert code == 250, text
    found = await_line(host, f"grep -l {token} /var/mail/{admin}")
    seen(f"{facts['aliases']}; delivered to {found}")
    assert found == f"/var/mail/{admin}"


@pytest.mark.control("CCN681-6.4.4-02")
def test_notices_go_to_postmaster(main_cf: dict[str, str], seen: Seen) -> None:
    names = (
        "notify_classes",
        "error_notice_recipient",
        "bounce_notice_recipient",
        "2bounce_notice_recipient",
    )
    seen([f"{name} = {main_cf[name]}" for name in names])
    assert [main_cf[name] for name in names] == [
        "resource, software",
        "postmaster",
        "postmaster",
        "postmaster",
    ]


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


# --- 6.5: the dialogue, limits, services ------------------------------------------------------------------------


@pytest.mark.control("CCN681-6.5-01")
def test_services_run_and_start_by_themselves(facts: dict[str, list[str]], seen: Seen) -> None:
    seen(facts["enabled"])
    assert facts["enabled"] == ["enabled", "enabled", "active", "active"]


@pytest.mark.control("CCN681-6.5-02")
def test_master_runs_in_systemds_sandbox(host: Any, seen: Seen) -> None:
    script = (
        "pid=$(head -n 1 /var/spool/postfix/pid/master.pid); pid=$(echo $pid); grep CapBnd /proc/$pid/status;"
        " awk '{print $5, $6}' /proc/$pid/mountinfo"
    )
    capabilities, *mounts = host.check_output(script).splitlines()
    bounding = int(capabilities.split()[1], 16)
    options = dict(line.split() for line in mounts)
    seen(f"{capabilities}; " + "; ".join(f"{path} {options.get(path)}" for path in ("/usr", "/etc", "/home")))
    for name, bit in {
        "net_admin": 12,
        "net_raw": 13,
        "sys_module": 16,
        "sys_ptrace": 19,
        "sys_admin": 21,
    }.items():
        assert not bounding >> bit & 1, name
    for path in ("/usr", "/etc", "/home", "/root", "/proc/sys"):
        assert "ro" in options[path].split(","), path


@pytest.mark.control("CCN681-6.5-03")
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


@pytest.mark.control("CCN681-6.5-04")
def test_helo_is_demanded(guest: Guest, seen: Seen) -> None:
    with secure(guest, 25, "peer", hello=False) as smtp:
        without = smtp.docmd("MAIL FROM:<>")[0]
    with secure(guest, 25, "peer") as smtp:
        smtp.ehlo("sin-dominio")
        short = recipient(smtp, "<postmaster@[127.0.0.1]>")
        smtp.ehlo("no valido_$")
        invalid = recipient(smtp, "<postmaster@[127.0.0.1]>")
    seen(f"{without}; {short}; {invalid}")
    assert without == 503
    assert short[0] == 504
    assert invalid[0] in {501, 504}


@pytest.mark.control("CCN681-6.5-05")
def test_envelope_addresses_keep_to_the_standard(guest: Guest, seen: Seen) -> None:
    with secure(guest, 25, "relay") as smtp:
        answers = [
            smtp.docmd(command)[0]
            for command in ("MAIL FROM: prueba@ejemplo.org", "MAIL FROM:<Nombre <prueba@ejemplo.org>>")
        ]
    seen(answers)
    assert answers == [501, 501]


@pytest.mark.control("CCN681-6.5-06")
def test_commands_ahead_of_data_are_refused(guest: Guest, seen: Seen) -> None:
    with secure(guest, 25, "relay") as smtp:
        assert smtp.docmd("MAIL FROM:<prueba@ejemplo.org>")[0] == 250
        assert smtp.docmd("RCPT TO:<alguien@destino.example>")[0] == 250
        smtp.send("DATA\r\nSubject: x\r\n\r\nx\r\n.\r\nNOOP\r\n")
        code, text = smtp.getreply()
    seen(f"{code} {text!r}")
    assert code == 503


@pytest.mark.control("CCN681-6.5-07")
def test_a_client_has_limits(guest: Guest, main_cf: dict[str, str], seen: Seen) -> None:
    names = [f"smtpd_client_{what}_limit" for what in (
        "connection_count", "connection_rate", "message_rate", "recipient_rate", "new_tls_session_rate", "auth_rate",
    )]  # fmt: skip
    seen([f"{name} = {main_cf[name]}" for name in names])
    assert all(int(main_cf[name]) > 0 for name in names)
    limit = int(main_cf["smtpd_client_connection_count_limit"])
    with contextlib.ExitStack() as stack:
        for _ in range(limit):
            stack.enter_context(guest.connect(25, "peer"))
        last = stack.enter_context(guest.connect(25, "peer"))
        last.settimeout(SMTP_SECONDS)
        answer = last.recv(200).decode()
    seen(f"connection {limit + 1}: {answer}")
    assert answer.startswith("421 ")


@pytest.mark.control("CCN681-6.5-08")
def test_size_of_messages_is_limited(plan: Plan, guest: Guest, seen: Seen) -> None:
    limit = plan.site.mail.message_limit_mib * 1048576
    with secure(guest, 25, "relay") as smtp:
        offered = smtp.esmtp_features["size"]
        over = smtp.docmd(f"MAIL FROM:<prueba@ejemplo.org> SIZE={limit + 1}")[0]
        within = smtp.docmd(f"MAIL FROM:<prueba@ejemplo.org> SIZE={limit - 1}")[0]
    seen(f"SIZE {offered}: {over}, {within}")
    assert (int(offered), over, within) == (limit, 552, 250)


@pytest.mark.control("CCN681-6.5-10")
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


# --- 6.5.5, 6.5.1, 6.5.2, 6.5-09: ports, a message, its logs, its jail -----------------------------------------


@pytest.mark.control("CCN681-6.5.5-20")
def test_nothing_else_listens(plan: Plan, facts: dict[str, list[str]], seen: Seen) -> None:
    listening = {(line.split()[0], int(line.rpartition(":")[2])) for line in facts["listening"]}
    seen(facts["listening"])
    assert listening == {(port.protocol, port.port) for port in plan.ports}


@pytest.fixture(scope="module")
def relayed(guest: Guest) -> str:
    """Send a message through the relay; return its identifier."""
    token = uuid.uuid4().hex
    with secure(guest, 25, "relay") as smtp:
        code, text = send(smtp, f"Subject: prueba\nMessage-ID: <{token}@ejemplo.org>\n\nprueba")
    assert code == 250, text
    return token


@pytest.mark.control("CCN681-6.5-09")
def test_accepted_message_is_in_the_queue(host: Any, relayed: str, seen: Seen) -> None:
    line = await_line(host, f"grep {relayed} /var/log/maillog")
    queue_id = re.search(r"cleanup\[\d+\]: (\w+):", line)
    assert queue_id, line
    found = await_line(host, f"postcat -q {queue_id[1]} | grep -c {relayed}")
    seen(f"{queue_id[1]} in the queue; {line}")
    assert found == "1"


@pytest.mark.control("CCN681-6.5.1-01", "CCN681-6.5.1-04")
def test_logs_arrive_once(host: Any, seen: Seen) -> None:
    normal, error = uuid.uuid4().hex, uuid.uuid4().hex
    host.check_output(
        f"logger -p mail.info -t postfix/prueba {normal}; logger -p mail.err -t postfix/prueba {error}"
    )
    await_line(host, f"grep {error} /var/log/maillog.err")
    count = "grep -rIc --exclude-dir=journal --exclude-dir=audit {} /var/log | grep -v ':0$' | sort"
    places = [host.run(count.format(token)).stdout.split() for token in (normal, error)]
    seen(places)
    assert places == [["/var/log/maillog:1"], ["/var/log/maillog.err:1", "/var/log/maillog:1"]]


@pytest.mark.control("CCN681-6.5.1-02")
def test_logs_are_roots_alone(facts: dict[str, list[str]], seen: Seen) -> None:
    logs = [line for line in facts["modes"] if "/var/log/" in line]
    seen(logs)
    assert logs == ["600 root:root /var/log/maillog", "600 root:root /var/log/maillog.err"]


@pytest.mark.control("CCN681-6.5.1-03")
def test_logs_rotate(plan: Plan, facts: dict[str, list[str]], seen: Seen) -> None:
    rotation = facts["rotation"]
    ours = [line for line in rotation if line.startswith("rotating pattern: /var/log/maillog ")]
    seen(ours)
    assert len(ours) == 1
    assert "after 1 days" in ours[0]
    assert f"({plan.profile.values.log_days} rotations)" in ours[0]
    assert [line for line in rotation if line.startswith("error:")] == []


@pytest.mark.control("CCN681-6.5.2-01")
def test_network_daemons_run_in_the_jail(
    plan: Plan, host: Any, guest: Guest, relayed: str, facts: dict[str, list[str]], seen: Seen
) -> None:
    flags = {(line.split()[7], line.split()[4]) for line in facts["services"]}
    assert flags == {(name, "y") for name in JAILED} | {(name, "n") for name in FREE}
    folder = plan.platform.path("/usr/libexec/postfix")
    with talk(guest, 25, "relay"), talk(guest, 587, "submission"):
        said = host.check_output(
            "for process in /proc/[0-9]*; do exe=$(readlink $process/exe) || continue; case $exe in"
            f" {folder}/*) echo $exe $(readlink $process/root) $(stat -c %U $process);; esac; done"
        )
    running = {(exe.rpartition("/")[2], root, user) for exe, root, user in map(str.split, said.splitlines())}
    seen(sorted(running))
    names = {name for name, _, _ in running}
    assert {"smtpd", "postscreen", "cleanup", "qmgr", "pickup"} <= names
    assert {(name, root, user) for name, root, user in running if name in JAILED} == {
        (name, JAIL, "postfix") for name in names & JAILED
    }
    assert names - JAILED <= FREE | {"master"}


@pytest.mark.control("CCN681-6.5.2-02", "CCN681-6.2-02")
def test_jail_holds_just_what_is_needed(facts: dict[str, list[str]], seen: Seen) -> None:
    seen(facts["jail"] + facts["differ"])
    etc = {line.split()[3] for line in facts["jail"] if line.startswith("f 644 root:root ")}
    assert {"hosts", "localtime", "nsswitch.conf", "resolv.conf", "services"} <= etc
    assert facts["differ"] == []
    folders = {line for line in facts["jail"] if " " not in line}
    assert not folders & {"bin", "dev", "lib", "proc", "sbin", "usr", "tmp"}


@pytest.mark.control("CCN681-6.5.2-02")
def test_jail_follows_the_system(host: Any, seen: Seen) -> None:
    host.check_output("echo '# forja: prueba' >> /etc/hosts")
    try:
        found = await_line(host, f"grep -x '# forja: prueba' {JAIL}/etc/hosts")
    finally:
        host.check_output("sed -i '/^# forja: prueba$/d' /etc/hosts")
    gone = await_line(host, f"grep -qx '# forja: prueba' {JAIL}/etc/hosts || echo gone")
    seen(f"{found}: {gone}")
    assert (found, gone) == ("# forja: prueba", "gone")


@pytest.mark.control("CCN681-6.5.2-03")
def test_name_service_libraries_load_in_the_jail(facts: dict[str, list[str]], seen: Seen) -> None:
    target, options = facts["mounts"][0].split()
    seen(f"{facts['mounts'][0]}; {facts['libraries']}; {facts['noexec']}")
    assert target == f"{JAIL}/lib64"
    assert {"ro", "nosuid", "nodev"} <= set(options.split(","))
    assert "noexec" not in options.split(",")
    libraries = [line.split()[3] for line in facts["jail"] if line.split()[0] == "f" and ".so." in line]
    assert {"libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"} == set(libraries)
    assert facts["libraries"] == []  # they load, and equal the system's
    assert len(facts["noexec"]) == 1  # from the queue itself the same file does not
    assert "cannot be preloaded" in facts["noexec"][0]


# --- 6.5.4: TLS and SASL ----------------------------------------------------------------------------------------


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
def test_certificate_and_key(plan: Plan, guest: Guest, facts: dict[str, list[str]], seen: Seen) -> None:
    modes = [line for line in facts["modes"] if "/pki/" in line]
    seen(f"{modes}; {facts['cert']}")
    assert modes == [f"600 root:root {KEY}", f"644 root:root {CERT}"]
    half = len(facts["pair"]) // 2
    assert half >= 3
    assert facts["pair"][:half] == facts["pair"][half:]
    if plan.site.tls.certificate is None:
        assert any(f"DNS:{plan.site.host.name}" in line for line in facts["cert"])
    assert facts["cert"][-1] == "Certificate will not expire"


@pytest.mark.control("CCN681-6.5.4-05")
@pytest.mark.parametrize("port", [25, 587])
def test_certificate_is_the_one_shown(host: Any, guest: Guest, port: int, seen: Seen) -> None:
    with secure(guest, port, "relay" if port == 25 else "submission") as smtp:
        shown = ssl.DER_cert_to_PEM_cert(smtp.sock.getpeercert(binary_form=True))  # type: ignore[union-attr]
    on_disk = host.check_output(f"openssl x509 -in {CERT}")
    seen(shown.splitlines()[1])
    assert shown.strip() == on_disk.strip()


@pytest.mark.control("CCN681-6.5.4-07")
def test_sending_is_as_strict(
    plan: Plan, main_cf: dict[str, str], facts: dict[str, list[str]], seen: Seen
) -> None:
    without = {"!SSLv2", "!SSLv3", "!TLSv1", "!TLSv1.1"}
    for side in ("smtpd", "smtp", "lmtp"):
        for name in (f"{side}_tls_protocols", f"{side}_tls_mandatory_protocols"):
            assert set(main_cf[name].split(", ")) == without, name
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
    seen(
        f"tls_ssl_options = {main_cf['tls_ssl_options']}; ticket {session.has_ticket}, compression {compression}"
    )
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
    """Two accounts of the throwaway guest, one of them a mail user; user -> password."""
    made = {f"forja-{name}": f"Cl4ve-{uuid.uuid4().hex}" for name in ("correo", "ajeno")}
    for name, password in made.items():
        group = "-G correo" if name == "forja-correo" else ""
        host.check_output(
            f"useradd -M -s /usr/sbin/nologin {group} {name}; echo '{name}:{password}' | chpasswd"
        )
    yield made
    for name in made:
        host.run(f"faillock --user {name} --reset; userdel {name}")


@pytest.mark.control("CCN681-6.5.4-11")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_mail_user_submits(
    plan: Plan, guest: Guest, users: dict[str, str], mechanism: str, seen: Seen
) -> None:
    name = "forja-correo"
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
        f"{good}; for i in 1 2 3 4 5; do {check} mala; done; {good};"
        f" faillock --user forja-correo --reset; {good}"
    ).stdout.splitlines()
    seen(said)
    assert [line.split()[1] for line in said] == ["OK", *["NO"] * 6, "OK"]


@pytest.mark.control("CCN681-6.5.4-12")
def test_only_postfix_reaches_saslauthd(host: Any, facts: dict[str, list[str]], seen: Seen) -> None:
    folder = [line for line in facts["modes"] if line.endswith("/run/saslauthd")]
    target, options = facts["mounts"][1].split()
    others = host.run("runuser -u nobody -- test -e /run/saslauthd/mux").rc
    inside = host.run(f"runuser -u postfix -- test -S {JAIL}/run/saslauthd/mux").rc
    seen(f"{folder}; {target} {options}; nobody {others}, postfix {inside}")
    assert folder == ["710 root:postfix /run/saslauthd"]
    assert target == f"{JAIL}/run/saslauthd"
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(options.split(","))
    assert others != 0
    assert inside == 0


# --- 6.5.7: postscreen and the content --------------------------------------------------------------------------


def forget_clients(host: Any) -> None:
    """Make postscreen test every client anew."""
    host.check_output("rm -f /var/lib/postfix/postscreen_cache.db && postfix reload 2>/dev/null; sleep 3")


def early_talker(sock: socket.socket) -> smtplib.SMTP:
    """Talk before the greeting is over; return the session after the answer to EHLO."""
    sock.settimeout(SMTP_SECONDS)
    sock.sendall(b"EHLO bot.destino.example\r\n")
    smtp = smtplib.SMTP(local_hostname="bot.destino.example", timeout=SMTP_SECONDS)
    smtp.sock = sock
    code, said = smtp.getreply()
    if code == 220:  # postscreen may answer EHLO in place of the greeting's last line
        code, said = smtp.getreply()
    assert code == 250, f"{code} {said!r}"
    smtp.ehlo_resp = said
    smtp.esmtp_features = {word.decode().lower().split()[0]: "" for word in smtp.ehlo_resp.splitlines()[1:]}
    smtp.does_esmtp = True
    return smtp


@pytest.mark.control("CCN681-6.5.7-01")
def test_postscreen_answers_25_and_not_587(
    host: Any, guest: Guest, facts: dict[str, list[str]], seen: Seen
) -> None:
    forget_clients(host)
    inet = sorted(tuple(line.split()[i] for i in (0, 6, 7)) for line in facts["services"] if " inet " in line)
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
    assert inet == [("smtp", "1", "postscreen"), ("submission", "-", "smtpd")]
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
    host.check_output(
        f"cp -p {table} /run/{address}; echo '{address}/32 reject' >> {table}; postfix reload 2>/dev/null; sleep 3"
    )
    try:
        with guest.connect(25, "peer") as sock:
            sock.settimeout(SMTP_SECONDS)
            answer = sock.recv(200).decode()
            closed = sock.recv(200)
    finally:
        host.check_output(
            f"cp -p /run/{address} {table}; rm /run/{address}; postfix reload 2>/dev/null; sleep 3"
        )
    seen(answer)
    assert answer.startswith("521 ")
    assert closed == b""


@pytest.mark.control("CCN681-6.5.7-04")
def test_no_dns_lists_without_internet(plan: Plan, main_cf: dict[str, str], seen: Seen) -> None:
    seen(f"annex {plan.profile.annex}: postscreen_dnsbl_sites = {main_cf['postscreen_dnsbl_sites']}")
    assert plan.profile.annex != "B" or main_cf["postscreen_dnsbl_sites"] == ""
    assert main_cf["postscreen_dnsbl_action"] == "enforce"


PLAIN = "Subject: prueba\nMIME-Version: 1.0\n"
PART = 'Content-Type: multipart/mixed; boundary="x"\n\n--x\nContent-Type: application/octet-stream\n{}\n\n{}\n--x--'
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
