"""The kickstart's scripts, run for real in this system's /tmp."""

from __future__ import annotations

from pathlib import Path

from builder.lab.installer.kickstart import read_kickstart
from builder.lab.installer.scripts import run_script


def _run(folder: Path, header: str, body: str) -> tuple[int, str]:
    path = folder / "ks.cfg"
    path.write_text(f"{header}\n{body}\n%end\n", encoding="utf-8")
    return run_script(read_kickstart(path).data.scripts[0], Path("/"))


def test_exit_code_and_both_streams_come_back_and_the_log_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "made/x.log"
    code, output = _run(tmp_path, f"%pre --log={log}", "echo one; echo two >&2; exit 3")
    assert (code, output) == (3, "one\ntwo\n")
    assert log.read_text() == output


def test_the_interpreter_is_the_one_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    code, output = _run(
        tmp_path, f"%pre --interpreter=/usr/bin/python3 --log={log}", "import os\nprint(os.getcwd())"
    )
    assert (code, output) == (0, "/\n")
    code, output = _run(tmp_path, f"%pre --interpreter=/nonexistent --log={log}", "true")
    assert (code, output) == (127, "/nonexistent: No such file or directory")


def test_a_killed_script_is_a_failure(tmp_path: Path) -> None:
    assert _run(tmp_path, f"%pre --log={tmp_path / 'x'}", "kill -9 $$")[0] == 137


def test_no_script_stays_behind(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    _, name = _run(tmp_path, f"%pre --log={log}", 'echo "$0"')
    assert name.startswith("/tmp/ks-script-")
    assert not Path(name.strip()).exists()
