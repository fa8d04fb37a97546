"""TLS by CCN-STIC-807, and what a session leaves for the next one (CCN-STIC-681, 6.5.4, 6.5.7)."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from smtp import SMTP_SECONDS, await_line, exactly, forget_clients, look, secure, talk

from builder.ask.plan import Plan

if TYPE_CHECKING:
    from conftest import Guest

Seen = Callable[[object], None]

CERT = "/etc/pki/tls/certs/forja-postfix.pem"
STRONG_CURVES = ("secp384r1", "prime256v1")
OTHER_CURVES = ("X25519", "X448", "secp521r1")
LEAST_BITS = {"id-ecPublicKey": 256, "rsaEncryption": 3072}


@pytest.mark.control("CCN681-6.5.4-16")
def test_certificate_is_strong_enough(host: Any, seen: Seen) -> None:
    text = "\n".join(look(host, {"text": f"openssl x509 -in {CERT} -noout -text"})["text"])
    kind = re.search(r"Public Key Algorithm: (\S+)", text)
    bits = re.search(r"Public-Key: \((\d+) bit", text)
    curve = re.search(r"ASN1 OID: (\S+)", text)
    signature = re.search(r"Signature Algorithm: (\S+)", text)
    assert kind, text
    assert bits, text
    assert signature, text
    seen(f"{kind[1]}, {bits[1]} bits, {curve and curve[1]}, {signature[1]}")
    assert int(bits[1]) >= LEAST_BITS[kind[1]]
    assert kind[1] == "rsaEncryption" or (curve and curve[1] in {*STRONG_CURVES, "secp521r1"})
    assert re.search(r"sha-?(256|384|512)|rsassaPss", signature[1], re.IGNORECASE)


@pytest.mark.control("CCN681-6.5.4-17")
def test_only_the_strong_curves_are_taken(host: Any, seen: Seen) -> None:
    """By the guest's own openssl, in TLS 1.3: before, the client's curves had to fit the certificate too."""
    tries = {
        curve: "echo QUIT | timeout 60 openssl s_client -connect 127.0.0.1:25 -starttls smtp -tls1_3"
        f" -groups {curve} 2>&1 | grep -iE 'Cipher is [A-Z]|alert'"
        for curve in STRONG_CURVES + OTHER_CURVES
    }
    answers = look(host, tries)
    seen({name: " ".join(lines)[-60:] for name, lines in answers.items()})
    for name in tries:
        said = " ".join(answers[name])
        if name in STRONG_CURVES:
            assert "Cipher is" in said, name
            assert "(NONE)" not in said, name
        else:
            assert "alert handshake failure" in said, name


@pytest.mark.control("CCN681-6.5.4-15")
@pytest.mark.parametrize("port", [25, 587])
def test_no_session_is_resumed(host: Any, guest: Guest, port: int, seen: Seen) -> None:
    client = "relay" if port == 25 else "submission"
    reused: dict[str, bool] = {}
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = exactly(version)
        with secure(guest, port, client, context) as smtp:
            smtp.noop()  # TLS 1.3 hands its tickets over after the handshake
            session = smtp.sock.session  # type: ignore[union-attr]
        with talk(guest, port, client) as smtp:
            smtp.ehlo()
            assert smtp.docmd("STARTTLS")[0] == 220
            assert smtp.sock is not None
            smtp.sock = context.wrap_socket(smtp.sock, session=session)
            smtp.file = None
            assert smtp.ehlo()[0] == 250
            reused[version.name] = smtp.sock.session_reused
    caches = look(host, {"files": "ls /var/lib/postfix | grep -i scache"})["files"]
    seen(f"resumed: {reused}; caches: {caches or 'none'}")
    assert reused == {"TLSv1_2": False, "TLSv1_3": False}
    assert caches == []


@pytest.mark.control("CCN681-6.5.c-01", "CCN681-6.5.4-03")
def test_nothing_is_handed_over_in_clear(plan: Plan, guest: Guest, seen: Seen) -> None:
    """Neither by the relay's clients nor by its peers, nor by people; each of them is offered TLS."""
    answers: dict[str, tuple[int, int]] = {}
    for port, client in ((25, "relay"), (25, "peer"), (587, "submission")):
        with talk(guest, port, client) as smtp:
            smtp.ehlo()
            assert "starttls" in smtp.esmtp_features, client
            answers[client] = (
                smtp.docmd("MAIL FROM:<prueba@ejemplo.org>")[0],
                smtp.docmd("AUTH PLAIN AGEAYg==")[0],
            )
    seen(f"{plan.profile.values.tls_level}: {answers}")
    demanded = plan.profile.values.tls_level == "encrypt"
    for client, (mail, password) in answers.items():
        assert mail == (530 if demanded or client == "submission" else 250), client
        assert 500 <= password < 560, client


@pytest.mark.control("CCN681-6.5.7-08")
def test_a_client_that_passed_is_not_tested_again(host: Any, guest: Guest, seen: Seen) -> None:
    forget_clients(host)
    address = re.escape(guest.client_address("peer"))
    seconds, lines = [], []
    for word in ("NEW", "OLD"):
        with guest.connect(25, "peer") as sock:
            sock.settimeout(SMTP_SECONDS)
            began = time.monotonic()
            greeting = next(line for line in sock.makefile() if line.startswith("220 "))
            seconds.append(time.monotonic() - began)
            port = sock.getsockname()[1]
            line = rf"postscreen\[[0-9]+\]: PASS {word} \[?{address}\]?:{port}"
            lines.append(await_line(host, f"grep -E '{line}' /var/log/maillog"))
    ttl = host.check_output("postconf -h postscreen_greet_ttl postscreen_cache_retention_time").split()
    seen(f"{lines}; greeted after {seconds[0]:.1f} s, then {seconds[1]:.1f} s; kept {ttl}")
    assert greeting
    assert all(lines)
    assert ttl == ["1d", "7d"]
