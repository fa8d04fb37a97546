"""What finished stages were made from, so that a run repeats only what has changed.

A stage is finished when its record is there, its inputs are the same and its artefacts are as they were
left. Before a stage runs, its own artefacts and those of every later stage are removed: what lies under a
final name always belongs together.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.tools.errors import HostUnready


@dataclass(frozen=True)
class Memory:
    """The records of one build folder; `stages` names the artefacts of each stage, in their order."""

    folder: Path
    stages: Mapping[str, Sequence[str]]

    def unchanged(self, stage: str, inputs: Mapping[str, str]) -> bool:
        """Say whether a stage finished with these inputs and its artefacts are untouched."""
        try:
            record = json.loads(self._record(stage).read_text())
        except (OSError, ValueError):
            return False
        return bool(record == {"inputs": dict(inputs), "artefacts": self._state(stage)})

    def begin(self, stage: str) -> None:
        """Remove the artefacts and records of a stage and of all that come after it."""
        names = list(self.stages)
        for later in names[names.index(stage) :]:
            self._record(later).unlink(missing_ok=True)
            for name in self.stages[later]:
                (self.folder / name).unlink(missing_ok=True)

    def finish(self, stage: str, inputs: Mapping[str, str]) -> None:
        """Record that a stage is finished."""
        path = self._record(stage)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"inputs": dict(inputs), "artefacts": self._state(stage)}, indent=1))

    def _record(self, stage: str) -> Path:
        return self.folder / ".stages" / f"{stage}.json"

    def _state(self, stage: str) -> dict[str, list[int] | None]:
        state: dict[str, list[int] | None] = {}
        for name in self.stages[stage]:
            path = self.folder / name
            state[name] = [path.stat().st_size, path.stat().st_mtime_ns] if path.exists() else None
        return state


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep a build folder for this run alone.

    Raises:
        HostUnready: another run holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # plan, kickstart and medium hold password hashes
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise HostUnready(
                f"another run is building in {folder}", hint="wait for it, or use BUILD=/other/folder"
            ) from error
        yield


def digest_of_files(paths: Sequence[Path]) -> str:
    """Return one digest of the content of many files: of the sources that a stage depends on."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()
