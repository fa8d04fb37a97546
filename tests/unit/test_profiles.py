"""The four profiles: each says what differs from the one below, and why; they fit on one screen."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest

from builder.ask.catalogue import read_catalogue, sums
from builder.ask.difference import compare_profiles
from builder.ask.overlay import read_overlay
from builder.ask.plan import CLOSED, make_plan
from builder.ask.profile import FOLDER, lineage, profile_names, read_profile
from builder.ask.site import EXAMPLE
from builder.cli import main
from builder.make.listing import list_differences, list_profiles
from builder.make.overlay import collect_members
from builder.tools.errors import BadInput, ExitCode

ALL = ["ens-basica", "ens-media", "ens-alta", "clasificado"]
LISTS = """
[[mail.dns_lists]]
zone = "zen.ejemplo.org"
answers = "127.0.0.[2..11]"
weight = 2

[[mail.dns_lists]]
zone = "lista.ejemplo.net"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the profiles that a test may write to."""
    copy = tmp_path / "profiles"
    shutil.copytree(FOLDER, copy)
    monkeypatch.setattr("builder.ask.profile.FOLDER", copy)
    return copy


def site(tmp_path: Path, more: str) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(EXAMPLE.read_text(encoding="utf-8") + more, encoding="utf-8")
    return path


def setting(profile: str, path: Path, name: str) -> str:
    members = {item.path: item.content for item in collect_members(make_plan(profile, path, "rhel-8.3"))}
    content = members["/etc/postfix/main.cf"]
    assert content is not None
    lines = [line for line in content.decode().splitlines() if line.startswith(f"{name} =")]
    assert len(lines) == 1
    return lines[0].partition("=")[2].strip()


def test_each_stands_on_the_one_below() -> None:
    assert profile_names() == ALL
    assert [lineage(name) for name in ALL] == [tuple(ALL[: n + 1]) for n in range(4)]


def test_a_category_holds_the_one_below() -> None:
    """RD 3/2010: what a category asks for, the next one asks for too."""
    for below, above in itertools.pairwise(ALL[:3]):
        assert set(read_profile(below).overlays) <= set(read_profile(above).overlays)


@pytest.mark.parametrize("name", ALL)
def test_what_the_site_switches_on_waits_for_it(name: str, tmp_path: Path) -> None:
    """The example works for every profile; what it does not switch on does not apply, and says so."""
    waiting = [each for each in map(read_overlay, read_profile(name).overlays) if each.when]
    plan = make_plan(name, None, "rhel-8.3")
    assert not [each.name for each in waiting if plan.has(each.name)]
    left_out = {control.id: control for each in plan.left_out for control in each.controls}
    assert set(left_out) == {control.id for each in waiting for control in each.controls}
    for each in waiting:
        for control in each.controls:
            told = left_out[control.id]
            assert told.status == "not-applicable"
            assert told.reason is not None
            assert told.reason.es == (
                f"El archivo del sitio no tiene {each.when}."
                if each.when != CLOSED
                else "La imagen no es cerrada: lleva los valores de su servidor y no lee semillas."
            )
    mirror = make_plan(
        name, site(tmp_path, '\n[antivirus]\nmirror = "https://firmas.ejemplo.es/clamav"\n'), "rhel-8.3"
    )
    assert mirror.has("freshclam") == (name != "clasificado")
    assert "freshclam" not in {each.name for each in mirror.left_out}


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("ens-media", "[values]\nlog_days = 180\n", "log_days differs from ens-basica without a reason"),
        ("ens-media", 'without = ["gnupg"]\n', "gnupg differs from ens-basica without a reason"),
        ("ens-media", '[reasons.log_days]\nes = "x"\nen = "x"\n', "reasons: log_days does not differ"),
        ("ens-media", "[values]\nlog_day = 90\n", "log_day differs"),
        ("ens-basica", "", "circle: ens-media -> ens-basica -> ens-media"),
    ],
)
def test_a_difference_is_explained(folder: Path, name: str, words: str, said: str) -> None:
    below = "ens-media" if name == "ens-basica" else "ens-basica"
    text = f'extends = "{below}"\n{words if words.startswith("w") else ""}[title]\nes = "x"\nen = "x"\n'
    (folder / f"{name}.toml").write_text(text + ("" if words.startswith("w") else words), encoding="utf-8")
    with pytest.raises(BadInput, match=said):
        read_profile("ens-media")


def test_keys_are_known_and_complete(folder: Path) -> None:
    (folder / "ens-media.toml").write_text('overlays = ["base"]\n[title]\nes = "x"\nen = "x"\n')
    with pytest.raises(BadInput, match=r"ens-media\.toml: annex: is missing; disk_gib: is missing"):
        read_profile("ens-media")
    (folder / "ens-media.toml").write_text('nonsense = 1\n[title]\nes = "x"\nen = "x"\n')
    with pytest.raises(BadInput, match="nonsense: unknown key"):
        read_profile("ens-alta")
    with pytest.raises(BadInput, match="there is no profile 'nadie'"):
        read_profile("nadie")


def test_dns_lists_are_the_sites_where_the_profile_allows_them(tmp_path: Path) -> None:
    path = site(tmp_path, LISTS)
    assert setting("ens-alta", path, "postscreen_dnsbl_sites") == (
        "zen.ejemplo.org=127.0.0.[2..11]*2, lista.ejemplo.net*1"
    )
    assert setting("ens-alta", path, "postscreen_dnsbl_threshold") == "1"
    assert setting("ens-alta", EXAMPLE, "postscreen_dnsbl_sites") == ""
    with pytest.raises(BadInput, match=r"the site has mail\.dns_lists, and clasificado allows no DNS lists"):
        make_plan("clasificado", path, "rhel-8.3")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight = 2", "weight = -1\n[mail.x]", "unknown key"),
        ("127.0.0.[2..11]", "127.0.0.[11..2]", "runs backwards"),
        ("127.0.0.[2..11]", "127.0.0.300", "over 255"),
        ("127.0.0.[2..11]", "127.0.0.2 x", "answers of a DNS list"),
        ("zen.ejemplo.org", "zen ejemplo", "a domain name"),
    ],
)
def test_wrong_lists_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in LISTS
    with pytest.raises(BadInput, match=said):
        make_plan("ens-alta", site(tmp_path, LISTS.replace(old, new)), "rhel-8.3")


def test_a_threshold_that_no_list_reaches_is_refused(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8").replace("[mail]\n", "[mail]\ndns_lists_threshold = 4\n")
    (tmp_path / "site.toml").write_text(text + LISTS, encoding="utf-8")
    with pytest.raises(BadInput, match=r"more than all lists together give \(3\)"):
        make_plan("ens-alta", tmp_path / "site.toml", "rhel-8.3")


@pytest.mark.parametrize("lang", ["es", "en"])
def test_all_on_one_screen(lang: str) -> None:
    profiles = [read_profile(name) for name in ALL]
    text = list_profiles(profiles, sums(read_catalogue()), lang=lang)
    assert max(map(len, text.splitlines())) <= 100
    for profile in profiles:
        for key, reason in profile.reasons.items():
            assert f"{profile.name} {key}:" in text
            assert reason.in_language(lang) in " ".join(text.split())
    assert next(line for line in text.splitlines() if line.startswith("tls_level")).split() == [
        *("tls_level", "may", "may", "may", "encrypt")
    ]


def test_the_difference_has_overlays_values_and_controls_with_reasons() -> None:
    found = {item.name: item for item in compare_profiles("ens-basica", "clasificado", read_catalogue())}
    assert (found["tls_level"].first, found["tls_level"].second) == ("may", "encrypt")
    assert (found["freshclam"].first, found["freshclam"].second) == ("by-the-site", None)
    assert found["CCN681-6.5-49"].reason == found["freshclam"].reason
    assert found["idle_seconds"].reason == read_profile("ens-alta").reasons["idle_seconds"]
    assert [item.name for item in found.values() if item.reason is None] == []
    back = {item.name: item for item in compare_profiles("clasificado", "ens-basica", read_catalogue())}
    assert {name: (item.second, item.first) for name, item in back.items()} == {
        name: (item.first, item.second) for name, item in found.items()
    }
    assert compare_profiles("clasificado", "clasificado", read_catalogue()) == ()


def test_a_mount_that_differs_is_shown(folder: Path) -> None:
    path = folder / "ens-media.toml"
    mounts = (folder / "ens-basica.toml").read_text(encoding="utf-8").split("[[mounts]]", 1)[1]
    reason = '\n[reasons.mounts]\nes = "x"\nen = "x"\n'
    path.write_text(
        path.read_text(encoding="utf-8") + reason + "\n[[mounts]]" + mounts.replace("3072", "4096"),
        encoding="utf-8",
    )
    found = {item.name: item for item in compare_profiles("ens-basica", "ens-media", ())}
    item = found["/var/spool/amavisd/quarantine"]
    assert (item.kind, item.reason) == ("mount", read_profile("ens-media").reasons["mounts"])
    assert item.second == "xfs 4096 MiB nodev,nosuid,noexec"


def test_forms_of_a_difference() -> None:
    found = compare_profiles("ens-media", "clasificado", read_catalogue())
    text = list_differences(found, "ens-media", "clasificado", form="table", lang="en")
    assert "value    tls_level" in text
    assert "clear text is refused" in text
    read = json.loads(list_differences(found, "ens-media", "clasificado", form="json", lang="es"))
    assert read["profiles"] == ["ens-media", "clasificado"]
    assert len(read["differences"]) == len(found)


@pytest.mark.parametrize("verb", [["profiles", "--lang", "en"], ["diff", "ens-alta", "clasificado"]])
def test_verbs(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(verb) == ExitCode.OK
    assert "tls_level" in capsys.readouterr().out
    assert main(["diff", "ens-alta", "clasificad"]) == ExitCode.BAD_INPUT
    assert "there is no profile 'clasificad'" in capsys.readouterr().err
