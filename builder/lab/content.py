"""What goes on the laboratory medium, and which Debian parts stand for which RHEL ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.tools.errors import BadInput

LABEL_LIMIT = 32  # bytes of an ISO 9660 volume identifier (ECMA-119, 8.4.7)


@dataclass(frozen=True)
class Content:
    """The laboratory's content; the words on the left are RHEL's, those on the right Debian's.

    Args:
        name: what the medium calls itself in menus, ``.treeinfo`` and ``/etc/issue``.
        version: the RHEL release that it stands in for ("8.3").
        volume_id: ISO label, at most 32 of A-Z a-z 0-9 ``_ . -`` so that no boot menu has to quote it.
        packages: RHEL package, ``@group`` or ``@^environment`` -> Debian packages; none when nothing
            in Debian stands for it.
        services: RHEL unit -> Debian unit, both without ``.service``.
        not_shown: what the laboratory can't show -> why (Spanish, a clause). Keys: a kickstart command
            (``selinux``), a command's option (``network --activate``), a section
            (``%addon com_redhat_kdump``), a package, or a unit.

    Raises:
        BadInput: a label or name that the medium can't carry.
    """

    name: str
    version: str
    volume_id: str
    packages: Mapping[str, tuple[str, ...]]
    services: Mapping[str, str] = field(default_factory=dict)
    not_shown: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(rf"[A-Za-z0-9_.-]{{1,{LABEL_LIMIT}}}", self.volume_id):
            raise BadInput(
                f"'{self.volume_id}' can't be the label of an ISO",
                hint=f"use at most {LABEL_LIMIT} letters, digits, '_', '.' and '-'",
            )
        if not re.fullmatch(r"[^\W_][\w .()-]*", self.name) or not re.fullmatch(r"\d+(\.\d+)*", self.version):
            raise BadInput(f"'{self.name}' '{self.version}' can't be the name and version of a medium")

    def to_json(self) -> str:
        """Return the mapping as it lies on the medium (BaseOS/laboratorio.json)."""
        fields = {
            "name": self.name,
            "version": self.version,
            "volume_id": self.volume_id,
            "packages": {name: list(debian) for name, debian in self.packages.items()},
            "services": dict(self.services),
            "not_shown": dict(self.not_shown),
        }
        return json.dumps(fields, ensure_ascii=False, indent=1, sort_keys=True) + "\n"

    def debian_packages(self) -> tuple[str, ...]:
        """Return every Debian package that the mapping names, sorted."""
        return tuple(sorted({package for debian in self.packages.values() for package in debian}))
