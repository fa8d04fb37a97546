"""The manifest: what was made of what, with which tools, and what was seen; and the sums of it all."""

from __future__ import annotations

import json
import platform as host_platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from builder import __version__
from builder.ask.plan import Plan
from builder.make.findings import Findings
from builder.make.resolution import Resolution
from builder.tools.files import sha256, write_text
from builder.tools.host import find_packer, find_qemu
from builder.tools.process import Argument, run

NAME, SUMS = "manifest.json", "SHA256SUMS"
NOT_REPRODUCIBLE = {
    "qcow2": "file systems get new identities at each installation; the content is verified",
    "vhdx": "the format holds random identities; the content is compared with the qcow2",
}


def write_manifest(
    plan: Plan,
    findings: Findings,
    resolution: Resolution,
    folder: Path,
    artefacts: Sequence[str],
    inputs: Mapping[str, Path],
) -> Path:
    """Write `manifest.json` and `SHA256SUMS` (as `sha256sum --check` takes it) into `folder`.

    Args:
        resolution: the packages that the image was installed with.
        artefacts: names of the files in `folder` that are the result.
        inputs: what was read, by what it is to the build.
    """
    verdicts = {control.id: findings.verdict(control).value for control in plan.controls}
    mark = plan.platform.mark
    manifest: dict[str, Any] = {
        "image": plan.name,
        "profile": plan.profile.name,
        "platform": plan.platform.title,
        "laboratorio": mark.es if mark else None,
        "host": plan.site.host.name,
        "builder": __version__,
        "verification": findings.subject.model_dump(),
        "controls": {
            "sums": {verdict.value: count for verdict, count in findings.sums(plan.controls).items()},
            "verdicts": verdicts,
        },
        "packages": describe_packages(resolution),
        "inputs": {what: describe(path) for what, path in sorted(inputs.items())},
        "artefacts": {name: describe(folder / name) for name in sorted(artefacts)},
        "not_reproducible": NOT_REPRODUCIBLE,
        "tools": list_tools(),
    }
    path = write_text(folder / NAME, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    sums = {**{name: manifest["artefacts"][name]["sha256"] for name in artefacts}, NAME: sha256(path)}
    write_text(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
    return path


def describe_packages(resolution: Resolution) -> dict[str, Any]:
    """Return every RPM with its digest, its signer and why it is there; the keys; and the advisories."""
    signers = {signer.fingerprint: signer for signer in resolution.signers}
    counts = Counter(package.signer for package in resolution.packages)
    return {
        "medium": resolution.medium,
        "count": len(resolution.packages),
        "size": resolution.size,
        "signers": [{**signer.model_dump(), "packages": counts[key]} for key, signer in signers.items()],
        "rpms": {
            package.nevra: {
                "repository": package.repository,
                "file": package.location,
                "size": package.size,
                "sha256": package.sha256,
                "signer": package.signer,
                "signer_name": signers[package.signer].name,
                "own_key": signers[package.signer].own,
                "reason": package.reason,
            }
            for package in resolution.packages
        },
        "advisories": {
            state: [
                advisory.model_dump(exclude={"state"})
                for advisory in resolution.advisories
                if advisory.state == state
            ]
            for state in ("held", "left out", "not concerned")
        },
    }


def describe(path: Path) -> dict[str, Any]:
    """Return the SHA-256 and size (bytes) of a file."""
    return {"sha256": sha256(path), "size": path.stat().st_size}


def list_tools() -> dict[str, str]:
    """Return the versions of the programs and Python packages that took part."""
    tools = {
        "python": host_platform.python_version(),
        **{f"python:{item.name}": item.version for item in distributions() if item.name},
    }
    commands: dict[str, list[Argument]] = {
        "packer": [find_packer(), "version"],
        "qemu": [find_qemu(), "--version"],
        "qemu-img": ["qemu-img", "--version"],
        "xorriso": ["xorriso", "-version"],
        "mtools": ["mcopy", "--version"],
        "openssh": ["ssh", "-V"],
    }
    for name, argv in commands.items():
        said = run(argv, doing=f"ask {name} its version", env={"CHECKPOINT_DISABLE": "1"}).stdout
        found = re.search(r"\d+\.\d+(?:\.\d+)?\S*", said)
        tools[name] = found[0].rstrip(",") if found else said.strip().split("\n")[0]
    return dict(sorted(tools.items()))
