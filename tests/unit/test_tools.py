"""Programs, files, memory and cells: nothing half-made, nothing left running, every failure in one line."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builder.tools.cell import open_cell
from builder.tools.errors import HostUnready, StageFailed
from builder.tools.files import finished, require_space, write_text
from builder.tools.machine import Console
from builder.tools.memory import Memory, hold
from builder.tools.process import run, start


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pid: int, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def test_a_failure_says_what_where_and_why(tmp_path: Path) -> None:
    with pytest.raises(StageFailed) as caught:
        run(["sh", "-c", "echo malo >&2; exit 3"], doing="try it", log=tmp_path / "x.log")
    assert str(caught.value).startswith("could not try it: sh exited with 3")
    assert str(tmp_path / "x.log") in str(caught.value)
    with pytest.raises(StageFailed, match="malo"):
        run(["sh", "-c", "echo malo >&2; exit 3"], doing="try it")
    with pytest.raises(StageFailed, match="SIGKILL"):
        run(["sh", "-c", "kill -9 $$"], doing="try it")
    with pytest.raises(StageFailed, match="no end after"):
        run(["sleep", "30"], doing="wait", timeout=0.2)
    with pytest.raises(HostUnready, match="'no-such-program' is not on this host"):
        run(["no-such-program"], doing="try it")


def test_a_program_gets_no_more_than_a_small_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    said = run(["env"], doing="look").stdout
    assert "SECRET_TOKEN" not in said
    assert "LC_ALL=C.UTF-8" in said


def test_all_that_a_program_started_ends_with_it() -> None:
    with start(["sh", "-c", "sleep 300 & echo $!; wait"], doing="wait", grace=0.2) as program:
        assert program.popen.stdout
        child = int(program.popen.stdout.readline())
        assert alive(child)
    assert gone(child)


def test_a_cell_dies_with_us_even_if_we_are_killed() -> None:
    code = (
        "import time\n"
        "from builder.tools.cell import open_cell\n"
        "from builder.tools.process import start\n"
        "with open_cell() as cell, start(cell.inside(['sleep', '300']), doing='wait'):\n"
        "    print(cell.pid, flush=True)\n"
        "    time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        namespace = _link(Path(f"/proc/{pid}/ns/pid"))
        deadline = time.monotonic() + 10
        inside: list[int] = []
        while len(inside) < 2 and time.monotonic() < deadline:  # `cat`, which holds the cell, and `sleep`
            spaces = Path("/proc").glob("[0-9]*/ns/pid")
            inside = [int(path.parent.parent.name) for path in spaces if _link(path) == namespace]
        assert len(inside) >= 2
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert all(gone(pid) for pid in inside)


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def test_a_cell_reaches_no_network_and_has_the_addresses_it_is_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, open_cell() as cell:
        cell.add_address("203.0.113.9")
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
        outside = run(cell.inside([sys.executable, "-c", code]), doing="reach out", accept=range(256))
        assert outside.returncode != 0
        assert "203.0.113.9/32" in run(cell.inside(["ip", "-4", "address"]), doing="look").stdout


def _break_while_writing(path: Path) -> None:
    with finished(path) as partial:
        partial.write_text("half")
        raise ValueError("broken")


def test_nothing_half_made_stays_under_a_final_name(tmp_path: Path) -> None:
    path = tmp_path / "artefact"
    with pytest.raises(ValueError, match="broken"):
        _break_while_writing(path)
    assert list(tmp_path.iterdir()) == []
    write_text(path, "old")
    with pytest.raises(ValueError, match="broken"):
        _break_while_writing(path)
    assert path.read_text() == "old"


def test_too_little_space_is_said_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(HostUnready, match=r"MiB free, and to fill it takes"):
        require_space(tmp_path, 2**60, purpose="fill it")


def test_a_stage_is_repeated_only_when_something_changed(tmp_path: Path) -> None:
    memory = Memory(tmp_path, {"one": ["a"], "two": ["b"]})
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    assert not memory.unchanged("one", {"x": "1"})
    memory.finish("one", {"x": "1"})
    memory.finish("two", {"x": "1"})
    assert memory.unchanged("one", {"x": "1"})
    assert not memory.unchanged("one", {"x": "2"})
    (tmp_path / "a").write_text("touched")
    assert not memory.unchanged("one", {"x": "1"})
    memory.begin("one")
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
    assert not memory.unchanged("two", {"x": "1"})


def test_one_run_at_a_time_in_a_folder(tmp_path: Path) -> None:
    with (
        hold(tmp_path / "build"),
        pytest.raises(HostUnready, match="another run"),
        hold(tmp_path / "build"),
    ):
        pass


def test_a_console_gives_whole_lines_without_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "serial"
    console = Console(path)
    assert console.lines() == []
    path.write_bytes(b"\x1b[0mFORJA uno\r\nFORJA d")
    assert console.lines() == ["[0mFORJA uno"]
    path.write_bytes(path.read_bytes() + "os áé\n".encode())
    assert console.lines() == ["FORJA dos áé"]
