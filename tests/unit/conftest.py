"""What tests of overlays read: every profile on every platform, unless a file has a `plan` of its own."""

from __future__ import annotations

from itertools import product

import pytest
from rendered import members

from builder.ask.plan import Plan, make_plan
from builder.ask.profile import profile_names
from builder.make.overlay import Member


@pytest.fixture(scope="module", params=product(profile_names(), ["rhel-8.3", "laboratorio"]), ids="-".join)
def plan(request: pytest.FixtureRequest) -> Plan:
    profile, platform = request.param
    return make_plan(profile, None, platform)


@pytest.fixture(scope="module")
def tree(plan: Plan) -> dict[str, Member]:
    return members(plan)
