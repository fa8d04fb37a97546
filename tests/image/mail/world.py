"""The relay's neighbours, for real: the name servers that it asks, and the next relay that it sends to.

Both stand at the addresses that the site gives them, inside the cell, and keep what they get.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from dnslib import QTYPE, RCODE, RR, DNSRecord
from dnslib.server import BaseResolver, DNSLogger, DNSServer

from builder.ask.plan import Plan

NEXT_HOP_NAME = "siguiente.example"
TTL = 5
"""Seconds: nothing in the guest may remember a name of one test in the next one."""


class Names(BaseResolver):  # type: ignore[misc]
    """A name server with one zone file; what it does not know does not exist."""

    def __init__(self, zone: str) -> None:
        self.records: dict[tuple[str, str], list[RR]] = {}
        self.broken: set[str] = set()
        """Names that are answered SERVFAIL."""
        self.asked: list[tuple[str, str]] = []
        self.add(zone)

    def add(self, zone: str) -> None:
        """Add records, as in a zone file (RFC 1035, 5) with whole names."""
        for record in RR.fromZone(zone, ttl=TTL):
            key = (str(record.rname).rstrip(".").lower(), QTYPE[record.rtype])
            self.records.setdefault(key, []).append(record)

    def texts(self, name: bytes, **_: Any) -> bytes | None:
        """Return the TXT record of a name as dkimpy asks for it."""
        found = self.records.get((name.decode().rstrip(".").lower(), "TXT"))
        return b"".join(found[0].rdata.data) if found else None

    def resolve(self, request: DNSRecord, handler: object) -> DNSRecord:
        name, kind = str(request.q.qname).rstrip(".").lower(), QTYPE[request.q.qtype]
        self.asked.append((name, kind))
        reply = request.reply()
        if name in self.broken:
            reply.header.rcode = RCODE.SERVFAIL
            return reply
        reply.add_answer(*self.records.get((name, kind), []))
        if not any(known == name or known.endswith(f".{name}") for known, _ in self.records):
            reply.header.rcode = RCODE.NXDOMAIN
        return reply


@dataclass(frozen=True)
class Received:
    """A message that the next relay has answered 250."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    tls: str | None
    """The TLS version that it came by."""


@dataclass
class NextHop:
    """A receiving relay that can be stopped and started, and refuse as told."""

    address: str
    port: int
    certificate: Path
    received: list[Received] = field(default_factory=list)
    tries: list[str] = field(default_factory=list)
    """Senders of every MAIL command, whatever came of it."""
    answer: Callable[[Envelope], str] | None = None
    """What to say at the end of a message instead of taking it, if that is not empty."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    controller: Controller | None = None

    def start(self, *, tls: bool = True) -> None:
        """Listen; without `tls` it offers no STARTTLS."""
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
        self.controller = Controller(
            self,
            hostname=self.address,
            port=self.port,
            server_hostname=NEXT_HOP_NAME,
            tls_context=context,
            data_size_limit=1 << 30,
            ready_timeout=60,
            timeout=1200,
        )
        self.controller.start()

    def stop(self) -> None:
        """Listen no more: connections are refused."""
        if self.controller is not None:
            self.controller.stop()
            self.controller = None

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.tries.append(address)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        refusal = self.answer(envelope) if self.answer else ""
        if refusal:
            return refusal
        assert isinstance(envelope.original_content, bytes)
        tls = server.transport.get_extra_info("ssl_object")
        got = Received(
            envelope.mail_from or "",
            tuple(envelope.rcpt_tos),
            envelope.original_content,
            tls.version() if tls else None,
        )
        with self.changed:
            self.received.append(got)
            self.changed.notify_all()
        return "250 OK"

    def having(self, token: str) -> list[Received]:
        """Return the messages that hold a text, without waiting."""
        return [item for item in list(self.received) if token.encode() in item.data]

    def await_all(self, tokens: Iterable[str], seconds: float) -> list[str]:
        """Wait until each of the tokens has come in a message; return those that did not."""
        missing, seen = set(tokens), 0
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                for item in self.received[seen:]:
                    missing -= {token for token in missing if token.encode() in item.data}
                seen = len(self.received)
                left = end - time.monotonic()
                if not missing or left <= 0:
                    return sorted(missing)
                self.changed.wait(left)

    def get(self, token: str, seconds: float) -> Received:
        """Wait for a message that holds a text, and return it."""
        assert not self.await_all([token], seconds), f"{token} did not arrive in {seconds:.0f} s"
        return self.having(token)[0]


@dataclass(frozen=True)
class World:
    """What surrounds the relay."""

    names: Names
    next_hop: NextHop

    @contextlib.contextmanager
    def next_hop_is(
        self, *, down: bool = False, tls: bool = True, answer: Callable[[Envelope], str] | None = None
    ) -> Iterator[None]:
        """Have the next relay behave otherwise; it is as before when the block is left."""
        self.next_hop.stop()
        self.next_hop.answer = answer
        if not down:
            self.next_hop.start(tls=tls)
        try:
            yield
        finally:
            self.next_hop.stop()
            self.next_hop.answer = None
            self.next_hop.start()


def port_of_next_hop(plan: Plan) -> int:
    """Return the port that the relay sends to."""
    return int((plan.site.mail.relayhost or "").rpartition("]")[2].rpartition(":")[2] or 25)


def zone_of(plan: Plan, clients: dict[str, str | None]) -> str:
    """Return what the site's name servers know: its hosts, the next relay, domains with every SPF policy."""
    mail, own = plan.site.mail, str(plan.site.network.address.ip)
    hosts = {name: address for name, address in clients.items() if address}
    peer, next_hop = hosts.get("peer", "192.0.2.1"), hosts["next-hop"]
    relay = (mail.relayhost or NEXT_HOP_NAME).lstrip("[").partition("]")[0].partition(":")[0]
    lines = [f"{plan.site.host.name}. A {own}", f"{reverse(own)} PTR {plan.site.host.name}."]
    for name, address in hosts.items():
        lines += [f"{name}.clientes.example. A {address}", f"{reverse(address)} PTR {name}.clientes.example."]
    lines += [f"{name}. A {next_hop}" for name in {NEXT_HOP_NAME, relay} if not name[-1].isdigit()]
    policies = dict.fromkeys([mail.domain, *mail.relay_domains], f"v=spf1 ip4:{own} -all")
    policies |= {
        "pass.example": f"v=spf1 ip4:{peer} -all",
        "firmado.example": f"v=spf1 ip4:{peer} -all",
        "fail.example": "v=spf1 ip4:192.0.2.1 -all",
        "softfail.example": "v=spf1 ip4:192.0.2.1 ~all",
        "neutral.example": "v=spf1 ip4:192.0.2.1 ?all",
        "permerror.example": "v=spf1 ip4:192.0.2.1 ip4:nada -all",
        "helo.fail.example": "v=spf1 -all",
    }
    without = {"none.example", "temperror.example", "destino.example", "ejemplo.org", "helo.none.example"}
    for domain in sorted({*policies, *without, relay} - {plan.site.host.name}):
        if not domain[-1].isdigit():
            lines += [f"{domain}. MX 10 {NEXT_HOP_NAME}."]
    lines += [f'{domain}. TXT "{text}"' for domain, text in policies.items()]
    return "\n".join(lines) + "\n"


def reverse(address: str) -> str:
    """Return the name of an address (RFC 1035, 3.5)."""
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa."


@contextlib.contextmanager
def open_world(plan: Plan, clients: dict[str, str | None], certificate: Path) -> Iterator[World]:
    """Start name servers and the next relay; they stop with the block.

    Args:
        certificate: a PEM file with the next relay's key and certificate.
    """
    names = Names(zone_of(plan, clients))
    address = clients["next-hop"]
    assert address is not None
    next_hop = NextHop(address, port_of_next_hop(plan), certificate)
    with contextlib.ExitStack() as stack:
        for server in map(str, plan.site.network.dns):
            for tcp in (False, True):
                dns = DNSServer(
                    names,
                    address=server,
                    port=53,
                    tcp=tcp,
                    logger=DNSLogger("-request,-reply,-truncated,-error"),
                )
                dns.start_thread()
                stack.callback(dns.stop)
        next_hop.start()
        stack.callback(next_hop.stop)
        yield World(names, next_hop)


CERTIFICATE = (
    "cd /run && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    f" -subj /CN={NEXT_HOP_NAME} -keyout forja.k -out forja.c 2>/dev/null"
    " && cat forja.k forja.c; rm -f forja.k forja.c"
)
"""Shell command that makes and prints a key and a certificate: openssl is in the guest, maybe not here."""
