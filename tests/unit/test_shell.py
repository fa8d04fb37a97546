"""The scripts of the kickstart as the installer runs them: each section, rendered, under ShellCheck.

The other shell files are checked by `make lint`; these are fragments, and mean something only together.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from builder.ask.plan import make_plan
from builder.ask.profile import profile_names
from builder.make.kickstart import write_kickstart

SECTION = re.compile(r"(?ms)^%(pre|pre-install|post|onerror)\b([^\n]*)\n(.*?)^%end$")


@pytest.mark.parametrize("platform", ["rhel-8.3", "laboratorio"])
@pytest.mark.parametrize("profile", profile_names())
def test_every_script_of_the_kickstart_is_clean(profile: str, platform: str, tmp_path: Path) -> None:
    plan = make_plan(profile, None, platform)
    text = write_kickstart(plan, tmp_path / "x.ks").read_text(encoding="utf-8")
    sections = SECTION.findall(text)
    assert len(sections) >= 3
    for name, options, script in sections:
        interpreter = re.search(r"--interpreter=\S*/(\w+)", options)
        shell = interpreter[1] if interpreter else "sh"
        argv = ["shellcheck", f"--shell={shell}", "--exclude=SC1091", "-"]
        done = subprocess.run(argv, input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"%{name}{options}:\n{done.stdout}"
