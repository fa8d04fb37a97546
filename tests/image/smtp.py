"""SMTP sessions with the guest, and looks at what they leave behind."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from facts import Answers, ask, wait_for

if TYPE_CHECKING:
    from conftest import Guest

SMTP_SECONDS = 90.0
"""An emulated machine, whose resolver may have no server to answer."""

ARRIVE = 240.0
"""Seconds in which a message has passed the filter of an emulated machine that does other things too."""

Facts = dict[str, list[str]]

PATIENCE = 2
silent: Counter[int] = Counter()
"""Sessions in a row that a port did not greet: after PATIENCE of them nobody waits that long again."""


def look(host: Any, commands: dict[str, str]) -> Facts:
    """Return what commands print in the guest, as lines that are not empty."""
    answers = ask(host, commands)
    lines = {name: [line for line in text.splitlines() if line.strip()] for name, text in answers.items()}
    return Answers(lines, answers.unasked)


def read_main_cf(host: Any) -> dict[str, str]:
    """Return the parameters that main.cf sets, as Postfix reads it."""
    lines = look(host, {"main": "postconf -n 2>/dev/null"})["main"]
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


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
        sock.settimeout(SMTP_SECONDS if silent[port] < PATIENCE else 10)
        smtp = smtplib.SMTP(local_hostname=helo, timeout=SMTP_SECONDS)
        smtp.sock = sock
        silent[port] += 1
        code, text = smtp.getreply()
        silent[port] = 0
        assert code == 220, f"greeting: {code} {text!r}"
        sock.settimeout(SMTP_SECONDS)
        yield smtp


@contextlib.contextmanager
def secure(
    guest: Guest,
    port: int,
    client: str,
    context: ssl.SSLContext | None = None,
    *,
    hello: bool = True,
    helo: str = "cliente.ejemplo.org",
) -> Iterator[smtplib.SMTP]:
    """A session under TLS, after EHLO unless told otherwise."""
    with talk(guest, port, client, helo) as smtp:
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


def send(
    smtp: smtplib.SMTP, message: str, to: str = "alguien@destino.example", sender: str = "prueba@ejemplo.org"
) -> tuple[int, str]:
    """Return the answer at the end of a message."""
    for command, expected in (
        (f"MAIL FROM:<{sender}>", 250),
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
        time.sleep(0.3)


@contextlib.contextmanager
def held(host: Any, transports: str = "smtp,relay") -> Iterator[None]:
    """Mail stays in the queue, to be looked at, until the block is left."""
    _reload(host, "qmgr", f"postconf -e defer_transports={transports}")
    try:
        yield
    finally:
        _reload(host, "qmgr", "postconf -X defer_transports")


def await_queued(host: Any, token: str, seconds: float = 90) -> str:
    """Return the message that a token stands in, from whichever queue it is in by now; empty if in none."""
    look_through = (  # what is still being written, by milters too, is not executable yet
        "cd /var/spool/postfix; for file in $(find deferred active incoming hold -type f -perm -u+x); do"
        f' text=$(postcat -bh "$file" 2>/dev/null) || continue; case $text in *{token}*)'
        ' printf "%s\\n" "$text"; break;; esac; done'
    )
    return await_line(host, look_through, seconds)


def forget_clients(host: Any) -> None:
    """Make postscreen test every client anew."""
    reload_postscreen(host, "rm -f /var/lib/postfix/postscreen_cache.db")


def reload_postscreen(host: Any, change: str) -> None:
    """Make a change by a shell command, and have postscreen follow it."""
    _reload(host, "postscreen", change)


def _reload(host: Any, daemon: str, change: str) -> None:
    """Make a change by a shell command, and have a daemon follow it: its old process must have gone."""
    # Every program of Postfix waits until a main.cf of this moment is two seconds old before it trusts it.
    change += " && touch -d '-5 seconds' /etc/postfix/main.cf"
    gone = wait_for('[ -z "$old" ] || ! kill -0 "$old" 2>/dev/null', 60)
    host.check_output(f"old=$(pgrep -o -x {daemon}); {change} && postfix reload 2>/dev/null && {{ {gone}; }}")


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
