"""The system's cryptography: the policy, what a program without settings takes, and who reads the keys."""

from __future__ import annotations

from typing import Any

import pytest
from facts import ask

SPEAK = """
work=$(mktemp -d)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=prueba -days 1 \\
    -keyout $work/key -out $work/cert 2> /dev/null
openssl s_server -www -accept 127.0.0.1:44330 -cert $work/cert -key $work/key > /dev/null 2>&1 < /dev/null &
server=$!
for i in $(seq 50); do ss -H -tln | grep -q ':44330 ' && break; sleep 0.2; done
for version in tls1_1 tls1_2; do
    said=$(openssl s_client -connect 127.0.0.1:44330 -$version < /dev/null 2>&1)
    echo $version: none $(echo "$said" |
        sed -n -E 's/.*Cipher( is|    :) \\(?([A-Z0-9_-]+)\\)?$/\\2/p' | tail -n 1)
done
kill $server
rm -r $work
"""
"""A server and clients with nothing set but the client's version: the system's own limits decide."""


@pytest.fixture(scope="module")
def facts(host: Any) -> dict[str, str]:
    return ask(
        host,
        {
            "policy": "grep -hvE '^#|^$' /etc/crypto-policies/config; cat /etc/crypto-policies/state/current",
            "backends": "for f in /etc/crypto-policies/back-ends/*.config; do readlink -f $f; done",
            "local": "find /etc/crypto-policies/local.d /etc/crypto-policies/policies -type f",
            "fips": "cat /proc/sys/crypto/fips_enabled",
            "spoken": SPEAK,
            "keys": "grep -rlIsE --devices=skip -e '-----BEGIN ([A-Z]+ )?PRIVATE KEY-----' /etc"
            " | xargs -r stat -c '%a %U:%G %n'; stat -c '%a %U:%G %n' /etc/ssh/ssh_host_*_key",
        },
    )


@pytest.mark.control("RHEL-CRYPTO-01")
@pytest.mark.needs("crypto-policies")
def test_policy_is_default_everywhere(facts: dict[str, str], seen: Any) -> None:
    seen(f"{facts['policy']}; {facts['backends']}; local: {facts['local'] or 'none'}")
    assert facts["policy"].splitlines() == ["DEFAULT", "DEFAULT"]
    backends = facts["backends"].splitlines()
    assert len(backends) >= 8
    own = [path for path in backends if not path.startswith("/usr/share/crypto-policies/DEFAULT/")]
    # nss brings one line of its own, where it is installed: that it loads p11-kit.
    assert facts["local"] in ("", "/etc/crypto-policies/local.d/nss-p11-kit.config")
    assert own == (["/etc/crypto-policies/back-ends/nss.config"] if facts["local"] else [])


@pytest.mark.control("RHEL-CRYPTO-02")
def test_old_tls_is_refused_by_default(facts: dict[str, str], seen: Any) -> None:
    found = dict(line.split(": ", 1) for line in facts["spoken"].splitlines() if line.startswith("tls"))
    seen(facts["spoken"])
    assert set(found) == {"tls1_1", "tls1_2"}
    old, new = (found[version].split()[-1] for version in ("tls1_1", "tls1_2"))
    assert old in ("none", "NONE", "0000"), f"TLS 1.1 is spoken with {old}"
    assert "GCM" in new or "CHACHA20" in new, f"TLS 1.2 is not spoken: {new}"


@pytest.mark.control("RHEL-CRYPTO-03")
def test_private_keys_are_closed(facts: dict[str, str], seen: Any) -> None:
    keys = [line.split(maxsplit=2) for line in facts["keys"].splitlines()]
    seen(facts["keys"])
    assert [name for _, _, name in keys if name.startswith("/etc/ssh/ssh_host_")]
    # A service's group may read its key; nobody else, and nobody may write it but the owner.
    assert [f"{name}: {mode} {owner}" for mode, owner, name in keys if int(mode, 8) & 0o037] == []
