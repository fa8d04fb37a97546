"""Logs on their way to a collector (CCN-STIC-681, 6.5.1): the overlay's forwarding, to one that we stand for.

The collector is a neighbour of the guest, with certificates of the moment; rsyslog's file is the overlay's
template, rendered for it. What the site's file says is looked at first, and put back at the end.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import ssl
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from smtp import await_line

from builder.ask.overlay import read_overlay
from builder.ask.plan import Plan
from builder.ask.site import LogSettings
from builder.tools.templates import text_templates

if TYPE_CHECKING:
    from conftest import Guest

Seen = Callable[[object], None]

SETTINGS, CA = "/etc/rsyslog.d/80-forja-reenvio.conf", "/etc/pki/tls/certs/forja-recolector-ca.pem"
FOLDER, PORT, NAME = "/run/forja-recolector", 6514, "recolector.example"

CERTIFICATES = f"""
mkdir -p -m 700 {FOLDER}; cd {FOLDER}
new() {{ # NAME KEY: elliptic ones take no time, RSA is for the cipher without forward secrecy
    openssl req -newkey ${{2:-ec -pkeyopt ec_paramgen_curve:prime256v1}} -nodes -keyout $1.key -subj /CN=$1 \
        -out $1.csr 2>/dev/null
}}
for ca in ca other-ca; do
    new $ca; echo 'basicConstraints = critical, CA:TRUE' > ext
    openssl x509 -req -in $ca.csr -signkey $ca.key -days 2 -sha256 -extfile ext -out $ca.pem 2>/dev/null
done
sign() {{ # NAME CA SAN KEY
    new $1 $4; printf 'subjectAltName = DNS:%s\\nextendedKeyUsage = serverAuth\\n' $3 > ext
    openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -set_serial 7 -days 1 -sha256 -extfile ext \
        -out $1.pem 2>/dev/null
}}
sign right ca {NAME} rsa:2048; sign misnamed ca otro.example; sign foreign other-ca {NAME}
for name in right misnamed foreign; do cat $name.key $name.pem > $name.both; done
"""


class Collector:
    """A collector that takes any number of clients, as rsyslog's queues in memory and on disk are two."""

    def __init__(self, address: str, certificates: dict[str, Path]) -> None:
        self.address, self.certificates = address, certificates
        self.got = bytearray()
        self.server: socketserver.ThreadingTCPServer | None = None
        self.clients: set[socket.socket] = set()

    def start(self, certificate: str, version: ssl.TLSVersion | None = None, ciphers: str = "") -> None:
        """Listen with a certificate, or with one version of TLS; only what comes from now on counts."""
        self.stop()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates[certificate])
        if version is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of TLS 1.1, which is the point
                context.minimum_version = context.maximum_version = version
            context.set_ciphers(ciphers)
        self.got.clear()
        collector = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                collector.clients.add(self.request)
                with contextlib.suppress(OSError), context.wrap_socket(self.request, server_side=True) as tls:
                    collector.clients.add(tls)
                    while piece := tls.recv(1 << 16):
                        collector.got += piece

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads, block_on_close = True, True, False

        self.server = Server((self.address, PORT), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.1,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more, and hang up."""
        if self.server is None:
            return
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        for client in self.clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self.clients.clear()

    def gets(self, token: str, seconds: float) -> str:
        """Return the line with a token once it arrives; empty if it does not."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            before, found, after = bytes(self.got).partition(token.encode())
            if found:
                return (before[-80:] + found + after[:20]).decode(errors="replace")
            time.sleep(0.2)
        return ""


def log(host: Any) -> str:
    """Log a line; return the token in it."""
    token = uuid.uuid4().hex
    host.check_output(f"logger -p mail.info -t forja-prueba {token}")
    return token


def restart(host: Any) -> None:
    host.check_output("systemctl restart rsyslog")


def renew(host: Any) -> None:
    """Restart it without what it had kept for a collector: it writes that at its end."""
    host.check_output("systemctl stop rsyslog; rm -f /var/lib/rsyslog/forja-envio*; systemctl start rsyslog")


@pytest.fixture(scope="module")
def collector(
    plan: Plan, host: Any, guest: Guest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collector]:
    address, kept = guest.client_address("next-hop"), tmp_path_factory.mktemp("recolector")
    host.check_output(CERTIFICATES)
    certificates = {name: kept / f"{name}.pem" for name in ("right", "misnamed", "foreign")}
    for name, path in certificates.items():
        path.write_text(host.check_output(f"cat {FOLDER}/{name}.both"))
    logs = LogSettings(server=address, port=PORT, name=NAME, ca=Path("ca.pem"))
    overlay = read_overlay("logs")
    entry = next(entry for entry in overlay.files if entry.path == SETTINGS)
    source = overlay.source(entry)
    site = plan.site.model_copy(update={"logs": logs})
    text = text_templates(source.parent).get_template(source.name).render(plan=plan, site=site)
    content = base64.b64encode(text.encode()).decode()
    host.check_output(
        f"mkdir {FOLDER}/before; for f in {SETTINGS} {CA}; do [ ! -e $f ] || cp -p $f {FOLDER}/before/; done;"
        f" echo {content} | base64 -d > {SETTINGS}; cat {FOLDER}/ca.pem > {CA};"
        f" [ ! -x /sbin/restorecon ] || restorecon {CA} {SETTINGS}; rsyslogd -N 1"
    )
    stand_in = Collector(address, certificates)
    try:
        stand_in.start("right")
        renew(host)
        yield stand_in
    finally:
        stand_in.stop()
        host.check_output(
            f"rm -f {CA}; cp -p {FOLDER}/before/* /run/ 2>/dev/null;"
            f" for f in {SETTINGS} {CA}; do b={FOLDER}/before/${{f##*/}}; [ ! -e $b ] || cat $b > $f; done;"
            f" rm -rf {FOLDER}"
        )
        renew(host)


@pytest.mark.control("CCN681-6.5.1-21")
def test_settings_are_the_sites(plan: Plan, host: Any, seen: Seen) -> None:
    text = host.check_output(f"cat {SETTINGS}; stat -c '%a %U:%G' {SETTINGS}")
    logs = plan.site.logs
    seen(f"collector: {logs.server or 'the site names none'}; {text.splitlines()[-1]}")
    assert text.splitlines()[-1] == "600 root:root"
    if logs.server is None:
        assert "omfwd" not in text
    else:
        assert f'target="{logs.server}"' in text
        assert f'port="{logs.port}"' in text


@pytest.mark.control("CCN681-6.5.1-21", "CCN681-6.5.1-22")
def test_lines_arrive_under_tls(collector: Collector, host: Any, seen: Seen) -> None:
    token = log(host)
    line = collector.gets(token, 90)
    here = await_line(host, f"grep {token} /var/log/maillog")
    seen(f"{line[-160:]}; in /var/log/maillog: {here}")
    assert "forja-prueba" in line
    assert here


REFUSALS = {
    "another name": ("misnamed", None, "", "peer name not authorized"),
    "another CA": ("foreign", None, "", "certificate invalid"),
    "TLS 1.1": ("right", ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", "TLS fatal alert|andshake"),
    "no forward secrecy": ("right", ssl.TLSVersion.TLSv1_2, "AES256-SHA256", "TLS fatal alert|andshake"),
}
"""What is wrong with a collector -> its certificate, version, ciphers, and rsyslog's reason."""


@pytest.mark.control("CCN681-6.5.1-22")
@pytest.mark.parametrize("wrong", REFUSALS)
def test_nobody_else_gets_a_line(wrong: str, collector: Collector, host: Any, seen: Seen) -> None:
    certificate, version, ciphers, reason = REFUSALS[wrong]
    offset = int(host.check_output("stat -c %s /var/log/messages")) + 1
    collector.start(certificate, version, ciphers)
    token = log(host)
    # TCP notices that the last collector is gone when something is sent.
    refusal = await_line(
        host,
        f"logger -p mail.info -t forja-prueba {token};"
        f" tail -c +{offset} /var/log/messages | grep -a -m 1 -E 'rsyslogd.*({reason})'",
        90,
    )
    got = bytes(collector.got).decode(errors="replace")
    written = await_line(host, f"grep -c {token} /var/log/maillog | grep -v -x 0")
    seen(f"{refusal[-200:]}; got {got[-80:] or 'nothing'}; written here: {written}")
    assert refusal
    assert got == ""
    assert written


@pytest.mark.control("CCN681-6.5.1-23")
def test_what_the_collector_missed_comes_later(collector: Collector, host: Any, seen: Seen) -> None:
    collector.stop()
    tokens = [log(host) for _ in range(2)]
    assert await_line(host, f"grep {tokens[-1]} /var/log/maillog", 10), "the files here had to wait"
    restart(host)  # what was kept survives it
    kept = host.run("ls -l /var/lib/rsyslog/").stdout
    collector.start("right")
    found = [collector.gets(token, 120) for token in tokens]
    seen(f"kept: {kept}; arrived later: {[line[-80:] for line in found]}")
    assert all(found)
