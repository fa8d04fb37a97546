"""An inspection, for people and for programs."""

from __future__ import annotations

import dataclasses
import json

from builder.make.inspection.medium import Inspection, MediaCheck


def to_json(inspection: Inspection, platform: str) -> str:
    """Return an inspection as JSON; `platform` is the name of the platform that the medium is of."""
    fields = dataclasses.asdict(inspection)
    fields["original"]["path"] = str(inspection.original.path)
    return json.dumps(
        {"platform": platform, **fields.pop("original"), **fields}, indent=2, ensure_ascii=False
    )


def to_lines(inspection: Inspection, platform: str) -> list[str]:
    """Return an inspection for people, one fact a line."""
    original, check = inspection.original, inspection.media_check
    total = sum(one.packages for one in inspection.repositories)
    rows = [
        ("file", f"{original.path} ({inspection.size} bytes)"),
        ("product", f"{original.name} {original.version} {original.arch}"),
        ("described as", inspection.description or "nothing"),
        ("platform", platform),
        ("volume id", original.volume_id),
        *((f"variant {one.id}", f"{one.packages} packages in {one.path}") for one in inspection.repositories),
        ("packages", str(total)),
        *((f"boots {one.firmware}", one.path or f"from byte {one.offset}") for one in inspection.boot),
        ("media check", describe_media_check(check)),
        ("checksums", f"{len(inspection.checked)} files hold what the medium says of them"),
        ("SHA-256", f"{inspection.sha256}, as given" if inspection.sha256 else "not asked for"),
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {value}" for name, value in rows]


def describe_media_check(check: MediaCheck | None) -> str:
    """Return a media check in words."""
    if check is None:
        return "none is implanted"
    return f"implanted ({'a' if check.supported else 'not a'} supported release), MD5 {check.md5}"
