"""What is installed: the resolved packages and no others, signed, unchanged, and kept so by dnf.

All of it shows in a root file system without a running kernel, booted or not: see `test_rhel_root.py`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
from facts import ASK_DNF, ask

SIGNER = "%|RSAHEADER?{%{RSAHEADER:pgpsig}}:{%|DSAHEADER?{%{DSAHEADER:pgpsig}}:{unsigned}|}|"
PROGRAMS = "(/usr)?/(bin|sbin|libexec|lib64)/"


@pytest.fixture(scope="module")
def facts(plan: Any, host: Any) -> dict[str, str]:
    names = sorted({real for spec in plan.packages for real in plan.platform.package(spec)})
    excluded = " ".join(f"'{name}'" for name in (*plan.excludes, "hypervfcopyd", "qemu-guest-agent"))
    return ask(
        host,
        {
            "installed": plan.platform.tools.list_packages,
            "declared": f"{plan.platform.tools.query_package} {' '.join(names)}",
            "excluded": f"rpm -qa {excluded}",
            "signers": "rpm -qa --qf '%{NAME}-%{EPOCHNUM}:%{VERSION}-%{RELEASE}.%{ARCH} " + SIGNER + "\\n'",
            "postfix": "rpm -q --qf '%{EPOCH}:%{VERSION}-%{RELEASE}' postfix",
            "locked": "dnf -q -C --disablerepo='*' versionlock list",
            "dnf": ASK_DNF,
            "release": "cat /etc/redhat-release; . /etc/os-release; echo $PLATFORM_ID $VERSION_ID",
            "selinux": "cat /etc/selinux/config",
        },
    )


# --- Which packages -------------------------------------------------------------------------------


@pytest.mark.control("RHEL-PACKAGE-04")
def test_installed_packages_are_the_resolved_ones(resolution: Any, facts: dict[str, str], seen: Any) -> None:
    installed = Counter(facts["installed"].split())
    resolved = Counter(package.nevra for package in resolution.packages)
    more, fewer = sorted((installed - resolved).elements()), sorted((resolved - installed).elements())
    seen(f"{installed.total()} installed, {resolved.total()} resolved")
    seen(f"installed and not resolved: {' '.join(more) or 'none'}")
    seen(f"resolved and not installed: {' '.join(fewer) or 'none'}")
    assert resolved.total() > 100
    assert not more, f"installed and not resolved: {' '.join(more)}"
    assert not fewer, f"resolved and not installed: {' '.join(fewer)}"


@pytest.mark.control("CCN681-5-02", "RHEL-PACKAGE-03")
def test_declared_packages_are_installed(plan: Any, facts: dict[str, str], seen: Any) -> None:
    names = {real for spec in plan.packages for real in plan.platform.package(spec)}
    lines = facts["declared"].splitlines()
    seen("; ".join(lines))
    assert len(names) > 10
    assert len(lines) == len(names)
    # With its version: dpkg names what it has heard of, too.
    assert [line for line in lines if not re.search(r"[\s-]\d", line) or "not installed" in line] == []


@pytest.mark.control("CCN681-5-02", "RHEL-SERVICE-02", "RHEL-PACKAGE-03")
@pytest.mark.needs("rpm")
def test_excluded_packages_are_absent(facts: dict[str, str], seen: Any) -> None:
    count = len(facts["installed"].split())
    seen(f"{count} packages; of the excluded: {facts['excluded'] or 'none'}")
    assert facts["excluded"] == ""
    assert count > 100


# --- Whose, and whole -----------------------------------------------------------------------------


@pytest.mark.control("RHEL-PACKAGE-05")
@pytest.mark.needs("rpm")
def test_every_package_is_signed_by_a_believed_key(resolution: Any, facts: dict[str, str], seen: Any) -> None:
    signers = {name: signer for signer in resolution.signers for name in signer.ids}
    lines = [line for line in facts["signers"].splitlines() if not line.startswith("gpg-pubkey-")]
    counts = Counter(line.split()[-1] for line in lines)
    for key_id, count in sorted(counts.items()):
        signer = signers.get(key_id)
        seen(f"{count} signed by {signer.name} {signer.fingerprint}" if signer else f"{count}: {key_id}")
    assert [line for line in lines if line.split()[-1] not in signers] == []
    assert len(lines) == len(facts["installed"].split())


@pytest.mark.control("RHEL-PACKAGE-06")
@pytest.mark.needs("rpm")
def test_programs_and_libraries_are_those_of_their_packages(host: Any, seen: Any) -> None:
    # Left out, as `rpm --verify` does: configuration (c), what a package only names (g), what may be missing
    # (m), and what it says changes after the installation (verify flag 1, the digest, is off).
    kept = rf"^[^|cgm]*\|-?[0-9]*[13579]\|([0-9a-f]{{64}}  {PROGRAMS})"
    query = r"[%{FILEFLAGS:fflags}|%{FILEVERIFYFLAGS}|%{FILEDIGESTS}  %{FILENAMES}\n]"
    listed = f"rpm -qa --qf '{query}' | sed -nE 's,{kept},\\1,p' | sort -u"
    look = f"list=$(mktemp -p /root); {listed} > $list; wc -l < $list;"
    answer = ask(host, {"look": f"{look} sha256sum --check --quiet $list; rm -f $list"})["look"]
    count, _, changed = answer.partition("\n")
    seen(f"{count} files; changed: {changed or 'none'}")
    assert int(count) > 0
    assert changed == ""


# --- dnf ------------------------------------------------------------------------------------------


@pytest.mark.control("CCN681-4-01")
@pytest.mark.needs("rpm")
def test_installed_version_is_the_locked_one(facts: dict[str, str], seen: Any) -> None:
    seen(f"{facts['postfix']} / {facts['locked']}")
    assert facts["postfix"] == "2:3.3.1-12.el8_3.1"
    # By the plugin's own command, so that the plugin is there and on.
    assert "postfix-2:3.3.1-12.el8_3.1.*" in facts["locked"].splitlines()


@pytest.mark.control("RHEL-PACKAGE-07")
@pytest.mark.needs("rpm")
def test_dnf_checks_the_signatures_of_all_repositories(facts: dict[str, str], seen: Any) -> None:
    found = json.loads(facts["dnf"])
    seen(facts["dnf"])
    assert found["gpgcheck"] is True
    assert [name for name, repo in found["repositories"].items() if not repo["gpgcheck"]] == []


@pytest.mark.control("RHEL-PACKAGE-08")
@pytest.mark.needs("rpm")
def test_no_repository_is_enabled_that_the_site_did_not_ask_for(
    plan: Any, facts: dict[str, str], seen: Any
) -> None:
    found = json.loads(facts["dnf"])["repositories"]
    seen(found or "no repository is configured")
    asked = {repository.id for repository in plan.site.updates.repositories}
    assert {name for name, repo in found.items() if repo["enabled"]} <= asked


# --- What it says it is ---------------------------------------------------------------------------


@pytest.mark.control("CCN681-4-02")
@pytest.mark.needs("rpm")
def test_it_is_the_release_of_the_guide(plan: Any, facts: dict[str, str], seen: Any) -> None:
    identity = plan.platform.identity
    names = "|".join(map(re.escape, identity.names))
    release, identifiers = facts["release"].splitlines()
    platform, version = identifiers.split()
    seen(facts["release"])
    assert re.match(rf"({names}) release {re.escape(identity.version)}(\D|$)", release)
    assert platform == plan.platform.module_platform
    assert version in (identity.version, identity.version.split(".")[0])  # CentOS says 8


@pytest.mark.control("RHEL-SELINUX-01")
@pytest.mark.needs("selinux")
def test_selinux_is_enforcing_at_the_next_boot_too(facts: dict[str, str], seen: Any) -> None:
    settings = dict(
        line.split("=", 1)
        for line in facts["selinux"].splitlines()
        if "=" in line and not line.startswith("#")
    )
    seen(settings)
    assert settings.get("SELINUX") == "enforcing"
    assert settings.get("SELINUXTYPE") == "targeted"
