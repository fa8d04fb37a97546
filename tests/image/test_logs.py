"""Logs on their way to a collector (CCN-STIC-681, 6.5.1): the overlay's forwarding, to one that we stand for.

The collector is `openssl s_server` in the guest, with certificates of the moment; the file of rsyslog is the
overlay's template, rendered for it. What the site's file says is looked at first, and put back at the end.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from smtp import await_line

from builder.ask.overlay import read_overlay
from builder.ask.plan import Plan
from builder.ask.site import LogSettings
from builder.tools.templates import text_templates

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
ls {FOLDER}/*.pem | wc -l
"""


class Collector:
    """A collector in the guest, and the lines that it gets."""

    def __init__(self, host: Any) -> None:
        self.host = host

    def start(self, certificate: str, options: str = "") -> None:
        """Listen with a certificate; only what comes from now on counts."""
        self.stop()
        self.host.check_output(
            # Its input never ends: a collector whose input has ended hangs up.
            f"cd {FOLDER}; [ -p input ] || mkfifo input; nohup openssl s_server -accept 127.0.0.1:{PORT}"
            f" -cert {certificate}.pem -key {certificate}.key -quiet {options} 0<>input >got 2>said &"
            f" echo $! > {FOLDER}/pid"
        )
        assert await_line(self.host, f"ss -Hlnt | grep 127.0.0.1:{PORT}")

    def stop(self) -> None:
        self.host.run(f"[ ! -e {FOLDER}/pid ] || kill $(cat {FOLDER}/pid); rm -f {FOLDER}/pid")

    def gets(self, token: str, seconds: float) -> str:
        """Return the line with a token once it arrives; empty if it does not."""
        return await_line(self.host, f"grep -a -m 1 {token} {FOLDER}/got", seconds)


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
def collector(plan: Plan, host: Any) -> Iterator[Collector]:
    assert host.check_output(CERTIFICATES).strip() == "5"
    logs = LogSettings(server="127.0.0.1", port=PORT, name=NAME, ca=Path("ca.pem"))
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
    stand_in = Collector(host)
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
    "another name": ("misnamed", "", "peer name not authorized"),
    "another CA": ("foreign", "", "certificate invalid"),
    "TLS 1.1": ("right", "-tls1_1 -cipher ALL:@SECLEVEL=0", "TLS fatal alert|andshake"),
    "no forward secrecy": ("right", "-tls1_2 -cipher AES256-SHA256", "TLS fatal alert|andshake"),
}
"""What is wrong with a collector -> its certificate, options of s_server, and rsyslog's reason."""


@pytest.mark.control("CCN681-6.5.1-22")
@pytest.mark.parametrize("wrong", REFUSALS)
def test_nobody_else_gets_a_line(wrong: str, collector: Collector, host: Any, seen: Seen) -> None:
    certificate, options, reason = REFUSALS[wrong]
    offset = int(host.check_output("stat -c %s /var/log/messages")) + 1
    collector.start(certificate, options)
    token = log(host)
    # TCP notices that the last collector is gone when something is sent.
    refusal = await_line(
        host,
        f"logger -p mail.info -t forja-prueba {token};"
        f" tail -c +{offset} /var/log/messages | grep -a -m 1 -E 'rsyslogd.*({reason})'",
        90,
    )
    got = host.check_output(f"cat {FOLDER}/got")
    written = host.check_output(f"grep -c {token} /var/log/maillog")
    seen(f"{refusal[-200:]}; got {got[-80:] or 'nothing'}; written here: {written}")
    assert refusal
    assert got == ""
    assert int(written)


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
