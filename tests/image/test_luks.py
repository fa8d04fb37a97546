"""The tool that encrypts the volumes with mail, as an image brings it: ready, and without a key."""

from __future__ import annotations

from typing import Any

import pytest
from facts import ask


@pytest.mark.control("RHEL-LUKS-01")
def test_the_image_brings_tools_and_no_key(plan: Any, host: Any, seen: Any) -> None:
    facts = ask(
        host,
        {
            "tools": "for p in cryptsetup clevis clevis-luks-bind tpm2_createprimary; do command -v $p; done",
            "state": "/usr/libexec/forja/cifrar-datos estado; echo rc=$?",
            "unlock": "cat /usr/lib/forja/cifrado.env",
            "headers": "blkid -t TYPE=crypto_LUKS; true",
            "keys": "grep -v '^#' /etc/crypttab 2> /dev/null | grep .;"
            " ls -A /etc/cryptsetup-keys.d 2> /dev/null; true",
        },
    )
    seen("; ".join(facts.values()))
    assert len(facts["tools"].splitlines()) == 4
    assert facts["state"].count("SIN CIFRAR") == 3
    assert facts["state"].splitlines()[-1] == "rc=1"
    assert f"FORJA_UNLOCK={plan.site.disk_encryption.data_volumes}" in facts["unlock"].splitlines()
    assert facts["headers"] == ""
    assert facts["keys"] == ""
