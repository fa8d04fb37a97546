"""The folder that a Windows host builds from: medium, Packer's templates, scripts, and the sums of it all.

What a person does with it is in docs/how-to/hyper-v.md; `packer/Start-ForjaBuild.ps1` reads it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from builder.ask.plan import Plan
from builder.ask.reading import REPOSITORY
from builder.tools.errors import BadInput
from builder.tools.files import MIB, require_space, scratch, sha256, write_text

SOURCE = REPOSITORY / "packer"
SENT = ("hyperv.pkr.hcl", "variables.pkr.hcl", "Start-ForjaBuild.ps1", "New-ForjaVM.ps1")
VALUES, SUMS = "forja.json", "SHA256SUMS"


def check_place(folder: Path) -> None:
    """Check that nothing is where the folder will be.

    Raises:
        BadInput: something is.
    """
    if folder.exists():
        raise BadInput(f"--hyperv: {folder} exists already", hint="remove it, or name another folder")


def write_build_folder(plan: Plan, medium: Path, folder: Path) -> Path:
    """Write the folder whole or not at all, and return it.

    Args:
        medium: the ISO that installs by itself.
        folder: where the folder is made; nothing may be there yet.

    Raises:
        BadInput: something is there.
        HostUnready: there is no room for a second copy of the medium.
    """
    check_place(folder)
    require_space(folder.parent, medium.stat().st_size + 64 * MIB, purpose="write the folder for Hyper-V")
    with scratch(folder.parent, "hyperv") as work:
        made = work / folder.name
        made.mkdir()
        for source in (medium, *(SOURCE / name for name in SENT)):
            shutil.copyfile(source, made / source.name)
        mark = plan.platform.mark
        values = {
            "name": plan.name,
            "medium": medium.name,
            "disk_mib": plan.profile.disk_gib * 1024,
            "notice": mark.es if mark else "",
        }
        write_text(made / VALUES, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
        sums = [f"{sha256(path)}  {path.name}\n" for path in sorted(made.iterdir())]
        write_text(made / SUMS, "".join(sums))
        made.replace(folder)
    return folder
