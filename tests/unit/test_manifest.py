"""What the manifest says of the packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_sample import sample

from builder.make.manifest import describe_packages
from builder.room import read_resolution
from builder.tools.errors import BadInput


def test_every_rpm_with_its_digest_and_signer() -> None:
    resolution = sample()[2]
    found = json.loads(json.dumps(describe_packages(resolution)))
    assert found["count"] == len(found["rpms"]) == 5
    assert found["size"] == sum(package.size for package in resolution.packages)
    for package in resolution.packages:
        rpm = found["rpms"][package.nevra]
        assert (rpm["sha256"], rpm["repository"]) == (package.sha256, package.repository)
        assert (rpm["signer"], rpm["reason"]) == (package.signer, package.reason)
        assert rpm["own_key"] == (package.name == "forja-agente")
    assert found["rpms"]["postfix-2:3.3.1-12.el8_3.1.x86_64"]["signer_name"].startswith("Forja laboratorio")
    assert [(signer["packages"], signer["own"]) for signer in found["signers"]] == [
        (4, False),
        (0, False),
        (1, True),
    ]


def test_advisories_by_what_became_of_them() -> None:
    found = describe_packages(sample()[2])["advisories"]
    ids = {state: [advisory["id"] for advisory in advisories] for state, advisories in found.items()}
    assert ids == {
        "held": ["PRUEBA-2021:0001", "PRUEBA-2021:0218"],
        "left out": ["PRUEBA-2021:9001"],
        "not concerned": ["PRUEBA-2021:9002"],
    }
    assert found["left out"][0]["because"].startswith("postfix is pinned to")


def test_a_list_that_is_missing_or_no_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "packages.json"
    with pytest.raises(BadInput, match=r"packages.json is no list of packages.*beside it"):
        read_resolution(path)
    path.write_text("{}")
    with pytest.raises(BadInput):
        read_resolution(path)
    resolution = sample()[2]
    path.write_text(resolution.model_dump_json())
    assert read_resolution(path) == resolution
