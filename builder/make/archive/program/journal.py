"""The way back: what lay on the server before each --apply, on the disk before anything is changed.

/var/lib/forja-overlay/0001, 0002, ... hold one --apply each:

    state.json    whose archive it was, which units were to run, and the phase: copying, ready, applied
    before.json   every path that may change, as it was
    after.json    those that did change, as they were left (once the phase is `applied`)
    content/      files by their SHA-256
    journal       a line before each change, for people
"""

import contextlib
import fcntl
import json
import os
import shutil
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

from .contents import Refused
from .system import ABSENT, State, System, flush

FOLDER = "/var/lib/forja-overlay"
NOT_OURS = ("/etc/adjtime", "/etc/mtab", "/etc/resolv.conf")
"""What the system writes by itself at any time: nobody's hook."""
LOGS = "/var/log/"
"""Logs grow while hooks run: their modes and owners come back, their lines stay."""
ROOM = 64 << 20


class Generation:
    """One --apply: its folder, and what it says."""

    def __init__(self, system: System, path: str) -> None:
        self.system = system
        self.path = path
        self.place = system.locate(path)
        self.state: Dict[str, Any] = self._load("state.json") or {"phase": "copying"}

    @property
    def phase(self) -> str:
        """How far it came."""
        return str(self.state["phase"])

    def start(self, facts: Dict[str, Any], paths: Iterable[str], saved: Iterable[str]) -> Dict[str, State]:
        """Copy all that may change, and see it on the disk; return what was there.

        Args:
            facts: what state.json keeps.
            paths: files and folders that will be placed.
            saved: patterns of what hooks change: whole trees.

        Raises:
            Refused: the disk has no room for it.
        """
        os.mkdir(self.place, 0o700)
        os.mkdir(os.path.join(self.place, "content"), 0o700)
        self._set_phase("copying", **facts)
        before = self.scan(paths, saved)
        sizes = {}
        for path, state in before.items():
            if state.kind == "file" and not path.startswith(LOGS):
                sizes[state.content] = os.lstat(self.system.locate(path)).st_size
        disk = os.statvfs(self.place)
        needed = sum(sizes.values()) + ROOM
        if needed > disk.f_bavail * disk.f_frsize:
            raise Refused("no-room", folder=FOLDER, mib=needed >> 20)
        for path, state in before.items():
            if state.kind == "file" and not path.startswith(LOGS):
                self._keep(path, state)
        os.sync()
        self._write("before.json", {path: list(state) for path, state in before.items()})
        self._set_phase("ready")
        return before

    def note(self, line: str) -> None:
        """Write down what is about to be done, and see it on the disk."""
        with open(os.path.join(self.place, "journal"), "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def finish(self, paths: Iterable[str], saved: Iterable[str]) -> Dict[str, Tuple[State, State]]:
        """Write down what has changed, forget all else, and return it: path -> before, after."""
        changed = self.compare(paths, saved)
        self._write("after.json", {path: list(after) for path, (_, after) in changed.items()})
        self._set_phase("applied")
        self._write("before.json", {path: list(before) for path, (before, _) in changed.items()})
        needed = {before.content for before, _ in changed.values()}
        content = os.path.join(self.place, "content")
        for name in os.listdir(content):
            if name not in needed:
                os.unlink(os.path.join(content, name))
        return changed

    def compare(self, paths: Iterable[str], saved: Iterable[str]) -> Dict[str, Tuple[State, State]]:
        """Return every path that is not as it was before: path -> before, now."""
        before = self.states("before.json")
        changed = {}
        for path, now in self.scan(paths, saved, before).items():
            old = before.get(path, ABSENT)
            if not old.same(now) and not (path.startswith(LOGS) and only_grown(old, now)):
                changed[path] = (old, now)
        return changed

    def scan(self, paths: Iterable[str], saved: Iterable[str], known: Iterable[str] = ()) -> Dict[str, State]:
        """Return what lies at paths and their folders, at what is known, at what patterns mean and below."""
        found: Set[str] = set()
        for path in paths:
            parts = path.strip("/").split("/")
            found.update("/" + "/".join(parts[: count + 1]) for count in range(len(parts)))
        wanted = set(found)
        for pattern in saved:
            for path in self.system.expand(pattern):
                found.update(self.system.walk(path))
        found = {path for path in found if path not in NOT_OURS or path in wanted}
        return {path: self.system.state(path) for path in sorted(found.union(known))}

    def conflicts(self) -> List[str]:
        """Return what somebody has changed since: neither as it was left, nor as it had been."""
        if self.phase != "applied":
            return []
        before, after = self.states("before.json"), self.states("after.json")
        found = []
        for path, left in after.items():
            now, old = self.system.state(path), before.get(path, ABSENT)
            grown = path.startswith(LOGS) and (only_grown(left, now) or only_grown(old, now))
            if not now.same(left) and not now.same(old) and not grown:
                found.append(path)
        return sorted(found)

    def restore(self, saved: Iterable[str], keep: Iterable[str] = ()) -> List[str]:
        """Put everything back as it was; return what could not be removed because it holds more by now.

        May be run again after it was cut off. What an --apply that was cut off has changed is looked for.
        """
        if self.phase == "copying":
            return []
        before = self.states("before.json")
        if self.phase == "applied":
            after = self.states("after.json")
            todo = {path: (before.get(path, ABSENT), self.system.state(path)) for path in after}
        else:
            todo = self.compare((), saved)
        left = []
        for path in sorted(todo, reverse=True):  # what goes: what lies in a folder before the folder
            if todo[path][0].kind == "absent" and path not in keep:
                try:
                    self._put_back(path, *todo[path])
                except OSError:
                    left.append(path)
        for path in sorted(todo):  # what comes back: folders first
            if todo[path][0].kind != "absent" and path not in keep:
                self._put_back(path, *todo[path])
        return left

    def forget(self) -> None:
        """Remove the way back."""
        shutil.rmtree(self.place)
        flush(os.path.dirname(self.place))

    def states(self, name: str) -> Dict[str, State]:
        """Return the states that one of the files holds."""
        return {path: State(*fields) for path, fields in (self._load(name) or {}).items()}

    def old(self, state: State) -> bytes:
        """Return the content of a file as it was."""
        with open(os.path.join(self.place, "content", state.content), "rb") as file:
            return file.read()

    def _put_back(self, path: str, before: State, now: State) -> None:
        if path.startswith(LOGS) and "file" in (before.kind, now.kind):
            if before.kind == "absent" and now.kind == "file":
                if not os.path.getsize(self.system.locate(path)):
                    self.system.put(path, before, None)
            elif now.kind == "file":
                self.system.put(path, now._replace(mode=before.mode, uid=before.uid, gid=before.gid), None)
            return
        if before.same(now) and before.mtime == now.mtime:
            return
        content = self.old(before) if before.kind == "file" else None
        if before.kind == "other":
            return
        self.system.put(path, before, content)

    def _keep(self, path: str, state: State) -> None:
        target = os.path.join(self.place, "content", state.content)
        if not os.path.exists(target):
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(self.system.read(path))

    def _set_phase(self, phase: str, **facts: Any) -> None:
        self.state = dict(self.state, phase=phase, **facts)
        self._write("state.json", self.state)

    def _write(self, name: str, what: Any) -> None:
        target = os.path.join(self.place, name)
        with open(target + ".new", "w", encoding="utf-8") as file:
            json.dump(what, file, indent=0, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.rename(target + ".new", target)
        flush(self.place)

    def _load(self, name: str) -> Optional[Dict[str, Any]]:
        try:
            with open(os.path.join(self.place, name), encoding="utf-8") as file:
                return dict(json.load(file))
        except FileNotFoundError:
            return None


class Journal:
    """All --apply that can be taken back, one program at a time."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.place = system.locate(FOLDER)

    def __enter__(self) -> "Journal":
        """Keep others out.

        Raises:
            Refused: another one is at work.
        """
        if not os.path.isdir(self.place):
            os.makedirs(self.place, 0o700)
        self._lock = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise Refused("busy")
        return self

    def __exit__(self, *_: Any) -> None:
        """Let others in, and leave no empty folder."""
        with contextlib.suppress(OSError):
            os.rmdir(self.place)
        os.close(self._lock)

    def generations(self) -> List[Generation]:
        """Return what can be taken back, oldest first."""
        try:
            names = sorted(name for name in os.listdir(self.place) if name.isdigit())
        except FileNotFoundError:
            names = []
        return [Generation(self.system, "{}/{}".format(FOLDER, name)) for name in names]

    def new(self) -> Generation:
        """Return the next one, of which nothing is on the disk yet."""
        there = self.generations()
        number = int(os.path.basename(there[-1].path)) + 1 if there else 1
        return Generation(self.system, "{}/{:04d}".format(FOLDER, number))


def only_grown(old: State, now: State) -> bool:
    """Say whether of a log nothing but its content differs."""
    return old.kind == now.kind == "file" and old._replace(content="").same(now._replace(content=""))
