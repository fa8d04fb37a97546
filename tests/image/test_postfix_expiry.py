"""What expires soon is told: accounts, passwords and certificates (CCN-STIC-681, 6.5.4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from facts import ask, new_password
from smtp import ARRIVE, await_line

from builder.ask.plan import Plan

Seen = Callable[[object], None]

CADUCIDAD = "/usr/libexec/forja/caducidad"
ACCOUNTS = {
    "caduca-clave": "--lastday $(($(date +%s) / 86400 - 40)) --maxdays 45",
    "caduca-cuenta": "--maxdays -1 --expiredate $(($(date +%s) / 86400 + 20))",
    "caduca-tarde": "--lastday $(($(date +%s) / 86400)) --maxdays 45",
    "caduca-cerrada": "--lastday $(($(date +%s) / 86400 - 40)) --maxdays 45",
}
"""Accounts of the throwaway guest, and what chage is told of them; the last one is locked."""
CERTS = "/etc/pki/tls/certs"


@pytest.fixture(scope="module")
def told(host: Any) -> Iterator[dict[str, str]]:
    """What the program says with accounts and certificates of every kind, and what it says without them."""
    make = "".join(
        f"useradd -M -s /usr/sbin/nologin {name}; echo {name}:{new_password()}"
        f" | chpasswd; chage {limits} {name}; "
        for name, limits in ACCOUNTS.items()
    )
    certify = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null"
    try:
        yield ask(
            host,
            {
                "before": CADUCIDAD,
                "make": f"{make} usermod -L caduca-cerrada; umask 022;"
                f" {certify} -subj /CN=largo -days 400 2>/dev/null > {CERTS}/forja-prueba.pem;"
                f" {certify} -subj /CN=corto -days 9 2>/dev/null >> {CERTS}/forja-prueba.pem",
                "said": CADUCIDAD,
                "timer": "for word in enabled active; do systemctl is-$word forja-caducidad.timer; done",
            },
        )
    finally:
        host.run("".join(f"userdel {name}; " for name in ACCOUNTS) + f"rm -f {CERTS}/forja-prueba.pem")


@pytest.mark.control("CCN681-6.5.4-18")
def test_accounts_that_expire_are_told(plan: Plan, host: Any, told: dict[str, str], seen: Seen) -> None:
    lines = [line for line in told["said"].splitlines() if " caduca-" in line]
    box = f"/var/mail/{plan.site.admin.user}"
    mail = await_line(host, f"grep 'cuenta caduca-clave: caduca en 5 ' {box}", ARRIVE)
    seen(f"{lines}; to postmaster: {mail}; {told['timer']}")
    assert lines == [
        "caducidad: contraseña de la cuenta caduca-clave: caduca en 5 días",
        "caducidad: cuenta caduca-cuenta: caduca en 20 días",
    ]
    assert "caduca-" not in told["before"]
    assert mail
    assert told["timer"].split() == ["enabled", "active"]


@pytest.mark.control("CCN681-6.5.4-19")
def test_certificates_that_expire_are_told(told: dict[str, str], seen: Seen) -> None:
    lines = [line for line in told["said"].splitlines() if "forja-prueba.pem" in line]
    seen(f"{lines}; before: {told['before']}")
    assert len(lines) == 1
    assert re.search(
        r"certificado \S+/forja-prueba\.pem \(subject=CN ?= ?corto\): caduca en [89] días", lines[0]
    )
    assert "forja-prueba" not in told["before"]
