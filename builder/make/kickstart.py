"""The kickstart: rendered from the plan, and held against RHEL 8's own grammar before anything is built."""

from __future__ import annotations

from pathlib import Path

from builder import __version__
from builder.ask.plan import Plan
from builder.ask.profile import Mount
from builder.ask.reading import REPOSITORY
from builder.tools.errors import StageFailed
from builder.tools.files import write_text
from builder.tools.grammar import check_grammar
from builder.tools.templates import text_templates

FOLDER = REPOSITORY / "kickstarts"
STORAGE_FILE = "/tmp/forja-storage.ks"  # noqa: S108 - in the installer's memory, not on this host
KERNEL_ARGUMENTS = (
    "audit=1 audit_backlog_limit=8192 page_poison=1 vsyscall=none module.sig_enforce=1"
    " net.ifnames=0 biosdevname=0 console=ttyS0,115200 console=tty0"
)
"""Of the image: auditing from the first process on; freed memory, with mail in it, is overwritten; no page at
a fixed address that programs jump to; only signed modules; one interface name everywhere; both consoles.

Not here: pti=on (the kernel knows which processors need it), slub_debug=P (makes every allocation slow).
"""


def write_kickstart(plan: Plan, path: Path) -> Path:
    """Render and check the kickstart of a plan, and write it to `path`.

    Raises:
        StageFailed: what was rendered is not exactly valid for RHEL 8, deprecations counted.
    """
    storage = render_storage(plan)
    text = render_kickstart(plan, storage)
    problems = check_kickstart(text, storage)
    if problems:
        rejected = write_text(path.with_suffix(".rejected.ks"), text, 0o600)
        raise StageFailed(
            f"the kickstart is not valid for RHEL 8: {'; '.join(problems)}", hint=f"it is in {rejected}"
        )
    return write_text(path, text, 0o600)


def render_kickstart(plan: Plan, storage: str) -> str:
    """Return the text of the kickstart, with `storage` as what %pre writes for %include."""
    return _render("forja.ks.j2", plan, storage=storage)


def render_storage(plan: Plan) -> str:
    """Return the storage commands, with @DISK@ and @SOURCE@ where %pre puts what it finds."""
    return _render("partials/50-storage.ks.j2", plan)


def check_kickstart(text: str, storage: str) -> list[str]:
    """Return what RHEL 8's kickstart grammar has against a text; warnings and deprecations count.

    The file that %pre would write is put in the place of its %include, so that it is checked as well.
    """
    filled = storage.replace("@DISK@", "sda").replace("@SOURCE@", "cdrom")
    whole = text.replace(f"%include {STORAGE_FILE}\n", filled)
    return check_grammar(whole)


def fsoptions(mount: Mount) -> str:
    """Return the `--fsoptions` of a mount point, or nothing when it has none of its own."""
    if not mount.options or mount.fstype == "swap":
        return ""
    return f' --fsoptions="{",".join(("defaults", *mount.options))}"'


def _render(template: str, plan: Plan, **more: str) -> str:
    volumes = sum(mount.size_mib for mount in plan.profile.mounts if mount.lvm)
    return (
        text_templates(FOLDER)
        .get_template(template)
        .render(
            plan=plan,
            profile=plan.profile,
            site=plan.site,
            platform=plan.platform,
            version=__version__,
            fsoptions=fsoptions,
            kernel_arguments=KERNEL_ARGUMENTS,
            volumes_mib=volumes + 64,  # LVM's own metadata, and rounding to extents
            **more,
        )
    )
