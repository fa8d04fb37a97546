"""Which test of the image sees which control, as pytest collects them: parametrised marks are found too."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from builder.ask.reading import REPOSITORY
from builder.tools.process import run

TESTS = REPOSITORY / "tests" / "image"


def read_marks(tests: Path = TESTS) -> dict[str, tuple[str, ...]]:
    """Return control -> the tests that name it, as `file::test`, once for all parameters; no guest is needed.

    Raises:
        StageFailed: a test can't be collected, or names no control.
    """
    with tempfile.TemporaryDirectory(prefix="forja-") as work:
        told = Path(work) / "marks.json"
        run(
            [
                *(sys.executable, "-m", "pytest", "--rootdir", REPOSITORY, "-p", "no:cacheprovider"),
                *("-o", "addopts=", "-q", "--strict-markers", "--collect-only", f"--marks={told}", tests),
            ],
            doing="read which test sees which control",
            cwd=REPOSITORY,
            env={"PYTHONDONTWRITEBYTECODE": "1"},
        )
        pairs = json.loads(told.read_text())
    found: dict[str, dict[str, None]] = {}
    for test, controls in pairs:
        name = test.partition("[")[0].removeprefix("tests/image/")
        for control in controls:
            found.setdefault(control, {})[name] = None
    return {control: tuple(names) for control, names in sorted(found.items())}
