"""An overlay's files as they are packed: what the tests of overlays read them with."""

from __future__ import annotations

from pathlib import Path

from builder.ask.plan import Plan, make_plan
from builder.ask.site import EXAMPLE
from builder.make.overlay import Member, collect_members


def text(tree: dict[str, Member], plan: Plan, path: str) -> str:
    content = tree[plan.platform.path(path)].content
    assert content is not None
    return content.decode()


def lines(content: str) -> list[str]:
    return [
        line.strip() for line in content.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]


def with_site(tmp_path: Path, *changes: tuple[str, str]) -> Plan:
    site = EXAMPLE.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in site
        site = site.replace(old, new)
    path = tmp_path / "site.toml"
    path.write_text(site, encoding="utf-8")
    return make_plan("clasificado", path, "rhel-8.3")


def members(plan: Plan) -> dict[str, Member]:
    return {member.path: member for member in collect_members(plan)}
