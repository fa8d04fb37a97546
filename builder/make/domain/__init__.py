"""The domain: how libvirt is to run the image, as `virsh define` takes it (libvirt 7.2 and later)."""

from __future__ import annotations

from pathlib import Path

from builder.ask.plan import Plan
from builder.tools.files import write_text
from builder.tools.templates import text_templates

TEMPLATE = "domain.xml.j2"


def write_domain(plan: Plan, path: Path) -> Path:
    """Write the definition of a virtual machine that has a plan's image as its disk."""
    template = text_templates(Path(__file__).parent).get_template(TEMPLATE)
    return write_text(path, template.render(plan=plan))
