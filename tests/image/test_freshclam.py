"""Virus signatures from the organisation's mirror."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from smtp import look

from builder.ask.plan import Plan


@pytest.mark.control("CCN681-6.5-49")
def test_signatures_come_from_our_mirror_only(plan: Plan, host: Any, seen: Callable[[object], None]) -> None:
    conf = plan.platform.path("/etc/freshclam.conf")
    facts = look(
        host,
        {
            "unit": "systemctl is-enabled clamav-freshclam; systemctl is-active clamav-freshclam",
            "mirrors": f"grep -E '^(Private|Database)(Mirror|CustomURL)' {conf}",
            "asked": "journalctl -u clamav-freshclam -o cat --no-pager | grep -oE 'https?://[^ /]+'",
        },
    )
    seen(facts)
    assert facts["unit"] == ["enabled", "active"]
    assert facts["mirrors"] == [f"PrivateMirror {plan.site.antivirus.mirror}"]
    assert set(facts["asked"]) <= {"/".join(str(plan.site.antivirus.mirror).split("/")[:3])}
