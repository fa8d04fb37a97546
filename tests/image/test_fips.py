"""FIPS mode: the kernel's, the libraries', and what sshd offers in it."""

from __future__ import annotations

from typing import Any

import pytest
from facts import ask

pytestmark = pytest.mark.needs("fips")


@pytest.fixture(scope="module")
def facts(host: Any) -> dict[str, str]:
    return ask(
        host,
        {
            "kernel": "cat /proc/sys/crypto/fips_enabled",
            "cmdline": "cat /proc/cmdline",
            "check": "fips-mode-setup --check; echo rc=$?",
            "policy": "update-crypto-policies --show",
            "openssl": "echo x | openssl md5; echo rc=$?",
            "sshd": "sshd -T | grep -E '^(kexalgorithms|ciphers|macs|hostkeyalgorithms|hostkey) '",
        },
    )


@pytest.mark.control("RHEL-FIPS-01")
def test_kernel_and_libraries(facts: dict[str, str], seen: Any) -> None:
    seen(f"{facts['kernel']}; {facts['check']}; {facts['openssl']}")
    words = facts["cmdline"].split()
    assert facts["kernel"] == "1"
    assert "fips=1" in words
    assert any(word.startswith("boot=") for word in words), "/boot is a file system of its own"
    assert facts["check"].splitlines()[-1] == "rc=0"
    assert facts["openssl"].splitlines()[-1] != "rc=0", "OpenSSL makes MD5 digests"


@pytest.mark.control("RHEL-FIPS-02")
def test_policy_and_sshd(facts: dict[str, str], seen: Any) -> None:
    seen(facts["policy"])
    seen(facts["sshd"])
    assert facts["policy"] == "FIPS"
    assert len(facts["sshd"].splitlines()) >= 5
    assert not [word for word in ("25519", "chacha20", "umac", "md5") if word in facts["sshd"]]
