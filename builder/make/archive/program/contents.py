"""What the archive holds: manifest, files for the server, the overlays' hooks; a digest for each of them."""

import hashlib
import json
import zipfile
from typing import Any, Dict, NamedTuple, Optional

MANIFEST = "manifest.json"


class Refused(Exception):
    """What is asked can't be done; nothing was changed. Shown as one line.

    Args:
        word: key of the text in words.py; `values` fill it.
    """

    def __init__(self, word: str, **values: Any) -> None:
        super().__init__(word)
        self.word = word
        self.values = values


class Entry(NamedTuple):
    """A file or folder for the server: place, mode, owner, SELinux type; a file has a digest."""

    path: str
    mode: int
    owner: str
    type: str
    sha256: Optional[str]
    secret: bool

    @staticmethod
    def parse(item: Dict[str, Any]) -> "Entry":
        """Return an entry of the manifest."""
        mode = int(item["mode"], 8)
        return Entry(item["path"], mode, item["owner"], item["type"], item["sha256"], item["secret"])


class Contents:
    """The archive, read."""

    def __init__(self, archive: str) -> None:
        """Open the archive that this program lies in.

        Raises:
            Refused: it is no archive, or of a format that this program does not know.
        """
        try:
            self._zip = zipfile.ZipFile(archive)
            text = self._zip.read(MANIFEST)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise Refused("no-archive", archive=archive, error=error)
        self.id = hashlib.sha256(text).hexdigest()
        self.manifest = json.loads(text.decode("utf-8"))
        self.entries = [Entry.parse(item) for item in self.manifest["entries"]]

    def read(self, entry: Entry) -> bytes:
        """Return the content of a file for the server."""
        return self._zip.read("root" + entry.path)

    def hook(self, name: str) -> bytes:
        """Return a hook."""
        return self._zip.read("hooks/" + name)

    def verify(self) -> int:
        """Compare every member with its digest, and return how many there are.

        Raises:
            Refused: one is missing, damaged, or not in the manifest.
        """
        expected = {"root" + entry.path: entry.sha256 for entry in self.entries if entry.sha256}
        expected.update(("hooks/" + hook["name"], hook["sha256"]) for hook in self.manifest["hooks"])
        expected.update(self.manifest["program"])
        there = set(self._zip.namelist()) - {MANIFEST}
        for name in sorted(there ^ set(expected)):
            raise Refused("damaged", name=name)
        for name, digest in sorted(expected.items()):
            try:
                good = hashlib.sha256(self._zip.read(name)).hexdigest() == digest
            except zipfile.BadZipFile:
                good = False
            if not good:
                raise Refused("damaged", name=name)
        return len(expected)
