"""The medium made of a DVD like RHEL 8.3's: what is in it, trimmed or not, by xorriso and by mkksiso."""

from __future__ import annotations

import configparser
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.make.medium import Contents, make_medium
from builder.make.medium.menus import GRUB, GRUB_COPY, ISOLINUX
from builder.make.medium.treeinfo import renew_checksums
from builder.make.resolution import Resolution
from builder.room import Room
from builder.tools.errors import BadInput
from builder.tools.files import sha256
from builder.tools.iso import extract, extract_folder, inspect_medium, list_files
from builder.tools.process import find_program, run
from tests.integration.conftest import Run, forja
from tests.media.dvd import alter_iso
from tests.media.rhel83 import Kit

LABEL = "RHEL-8-3-0-BaseOS-x86_64"
KICKSTART = f"inst.ks=hd:LABEL={LABEL}:/forja/clasificado.ks"
PINNED = "postfix-3.3.1-12.el8_3.1.x86_64.rpm"
EPOCH = 1601510400  # when the kit's DVD was made, by its .treeinfo
WRITTEN_BY_THE_WRITER = {"isolinux/boot.cat", "isolinux/isolinux.bin"}
"""Boot catalogue and boot information table hold block numbers (El Torito; xorriso(1), -boot_image)."""

Make = Callable[..., Run]


@pytest.fixture(scope="module")
def make(kit: Kit, rhel_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Run `forja medium` on the kit's DVD and updates, or on others."""
    cache = tmp_path_factory.mktemp("cache")

    def run_it(build: Path, *words: str, iso: Path = kit.dvd, updates: Path = kit.erratum) -> Run:
        inputs = ["--iso", iso, "--updates", updates, "--site", rhel_site]
        return forja("medium", "clasificado", *inputs, "--build", build, "--cache", cache, *words)

    return run_it


def medium_of(done: Run) -> Path:
    """Return the medium that a command made."""
    assert done.code == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def room(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Room:
    """The folder of a medium that nothing special was asked for."""
    return Room.at(medium_of(make(tmp_path_factory.mktemp("medio"))).parent)


@pytest.fixture(scope="module")
def trimmed(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trimmed medium."""
    return medium_of(make(tmp_path_factory.mktemp("recortado"), "--trim"))


def read_set(room: Room) -> Resolution:
    return Resolution.model_validate_json(room.path("packages").read_text())


def digests(iso: Path, folder: Path) -> dict[str, str]:
    """Return path -> SHA-256 of every file of an ISO."""
    tree = extract_folder(iso, "", folder)
    return {str(path.relative_to(tree)): sha256(path) for path in tree.rglob("*") if path.is_file()}


def test_the_folder_of_ours_is_whole_and_holds_just_the_resolved_updates(
    room: Room, kit: Kit, tmp_path: Path
) -> None:
    ours = extract_folder(room.path("medium"), "forja", tmp_path / "forja")
    for line in (ours / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert sha256(ours / name) == digest
    assert {line.split()[1] for line in (ours / "SHA256SUMS").read_text().splitlines()} == {
        "clasificado.ks",
        "overlay.tar",
        "packages.json",
    }
    assert (ours / "packages.json").read_bytes() == room.path("packages").read_bytes()

    there = {str(path.relative_to(ours / "updates")) for path in (ours / "updates").rglob("*.rpm")}
    wanted = read_set(room).updates
    assert there == {package.location for package in wanted}
    assert PINNED in there
    assert "postfix-3.5.8-1.el8.x86_64.rpm" not in there
    assert len(there) < len(list(kit.erratum.rglob("*.rpm")))


def test_the_metadata_of_the_updates_is_what_rhel_83_reads(room: Room, tmp_path: Path) -> None:
    repodata = extract_folder(room.path("medium"), "forja/updates/repodata", tmp_path / "repodata")
    names = {path.name.rpartition("-")[2] for path in repodata.iterdir()}
    assert names == {"repomd.xml", "primary.xml.gz", "filelists.xml.gz", "other.xml.gz"}
    repomd = (repodata / "repomd.xml").read_text()
    assert set(re.findall(r'checksum type="(\w+)"', repomd)) == {"sha256"}
    assert set(re.findall(r"<(?:timestamp|revision)>(\d+)<", repomd)) == {str(EPOCH)}


def test_streams_of_modules_go_with_the_updates(make: Make, kit: Kit, tmp_path: Path) -> None:
    updates = tmp_path / "updates"
    shutil.copytree(kit.erratum, updates)
    stream = "---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: {}\n  stream: '1'\n...\n"
    for name in ("uno", "dos"):
        (updates / name).mkdir()
        (updates / name / "modules.yaml").write_text(stream.format(name))
    one, two = (medium_of(make(tmp_path / name, updates=updates)) for name in ("a", "b"))
    assert sha256(one) == sha256(two)
    ours = extract_folder(one, "forja/updates", tmp_path / "there")
    text = run(["zcat", *ours.glob("repodata/*modules.yaml.gz")], doing="read the streams").stdout
    assert "module: uno" in text
    assert "module: dos" in text
    assert 'type="modules"' in (ours / "repodata/repomd.xml").read_text()
    assert not (ours / "modules.yaml").exists()


def test_all_else_is_the_originals(room: Room, kit: Kit, tmp_path: Path) -> None:
    before, after = digests(kit.dvd, tmp_path / "a"), digests(room.path("medium"), tmp_path / "b")
    assert not before.keys() - after.keys()
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {ISOLINUX, GRUB, "images/efiboot.img", ".treeinfo"} | WRITTEN_BY_THE_WRITER
    assert all(path.startswith("forja/") for path in after.keys() - before.keys())


@pytest.mark.parametrize("which", ["medium", "trimmed"])
def test_treeinfo_has_the_checksums_of_what_is_there(
    which: str, room: Room, trimmed: Path, tmp_path: Path
) -> None:
    iso = trimmed if which == "trimmed" else room.path("medium")
    tree = extract_folder(iso, "", tmp_path / "tree")
    info = configparser.RawConfigParser()
    info.read(tree / ".treeinfo")
    for path, value in info["checksums"].items():
        found = next(file for file in tree.rglob("*") if str(file.relative_to(tree)).lower() == path)
        assert value == f"sha256:{hashlib.sha256(found.read_bytes()).hexdigest()}", path
    assert "images/efiboot.img" in info["checksums"]
    assert "baseos/repodata/repomd.xml" in info["checksums"]


def test_the_medium_passes_the_media_check_and_our_own_inspection(room: Room, trimmed: Path) -> None:
    for medium in (room.path("medium"), trimmed):
        run(["checkisomd5", medium], doing="check the medium")
        done = forja("inspect", medium)
        assert done.code == 0, done.stderr
        assert LABEL in done.stdout


def test_every_menu_names_the_kickstart_and_warns(room: Room, tmp_path: Path) -> None:
    medium = room.path("medium")
    image = extract(medium, tmp_path, "images/efiboot.img")
    inside = run(["mtype", "-i", image, f"::/{GRUB}"], doing="read the menu inside the EFI image").stdout
    assert inside == extract(medium, tmp_path, GRUB).read_text()
    for text in (inside, extract(medium, tmp_path, ISOLINUX).read_text()):
        assert KICKSTART in text
        assert f"inst.stage2=hd:LABEL={LABEL} {KICKSTART}" in text
        assert "BORRA EL DISCO" in text
        assert text.isascii()
    assert f"search --no-floppy --set=root -l '{LABEL}'" in inside
    assert inspect_medium(medium).volume_id == LABEL


def test_the_menu_of_32_bit_uefi_is_edited_as_well(make: Make, kit: Kit, tmp_path: Path) -> None:
    grub = extract(kit.dvd, tmp_path, GRUB)
    image = extract(kit.dvd, tmp_path, "images/efiboot.img")
    run(["mcopy", "-o", "-i", image, grub, f"::/{GRUB_COPY}"], doing="add BOOT.conf to the EFI image")
    treeinfo = extract(kit.dvd, tmp_path, ".treeinfo").read_text()
    files = {
        GRUB_COPY: grub.read_bytes(),
        "images/efiboot.img": image.read_bytes(),
        ".treeinfo": renew_checksums(treeinfo, tmp_path),
    }
    medium = medium_of(make(tmp_path / "build", iso=alter_iso(kit.dvd, tmp_path / "rhel.iso", files)))
    text = extract(medium, tmp_path / "out", GRUB_COPY).read_text()
    assert text == extract(medium, tmp_path / "out", GRUB).read_text()
    image = extract(medium, tmp_path / "out", "images/efiboot.img")
    assert run(["mtype", "-i", image, f"::/{GRUB_COPY}"], doing="read it in the image").stdout == text


def test_the_same_inputs_give_the_same_bytes(room: Room, make: Make, trimmed: Path, tmp_path: Path) -> None:
    assert sha256(medium_of(make(tmp_path / "a"))) == sha256(room.path("medium"))
    assert sha256(medium_of(make(tmp_path / "b", "--trim"))) == sha256(trimmed)


def test_the_folder_for_windows_holds_the_medium_and_its_sums(room: Room, make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "para windows"
    done = make(room.folder.parent, "--hyperv", str(folder))
    assert done.code == 0, done.stderr
    assert done.stdout.splitlines() == [str(room.path("medium")), str(folder)]
    run(["sha256sum", "--check", "--strict", "SHA256SUMS"], doing="check the folder's sums", cwd=folder)
    assert sha256(folder / room.path("medium").name) == sha256(room.path("medium"))
    again = make(room.folder.parent, "--hyperv", str(folder))
    assert (again.code, again.stdout) == (2, "")
    assert "exists already" in again.stderr.splitlines()[-1]


def test_an_update_that_changed_since_it_was_resolved_is_refused(
    room: Room, kit: Kit, tmp_path: Path
) -> None:
    updates = tmp_path / "updates"
    shutil.copytree(kit.erratum, updates)
    with (updates / PINNED).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BadInput, match="no longer the package that was resolved"):
        write(room, kit.dvd, updates, tmp_path)
    assert not (tmp_path / "medium.iso").exists()


def test_a_trimmed_medium_has_the_packages_of_the_set_and_no_other(
    room: Room, kit: Kit, trimmed: Path
) -> None:
    there = {path for path in list_files(trimmed) if path.endswith(".rpm")}
    wanted = read_set(room).packages
    ours = {f"forja/updates/{item.location}" for item in wanted if item.repository == "actualizaciones"}
    kept = {item.location for item in wanted if item.repository != "actualizaciones"}
    assert there == kept | ours
    assert {"AppStream", "BaseOS"} == {path.split("/")[0] for path in kept}
    assert trimmed.stat().st_size < kit.dvd.stat().st_size


def test_the_installer_chooses_the_same_set_from_a_trimmed_medium(
    room: Room, kit: Kit, rhel_site: Path, trimmed: Path, tmp_path: Path
) -> None:
    words = ["--iso", trimmed, "--updates", kit.erratum, "--site", rhel_site, "--cache", tmp_path / "cache"]
    lock = room.path("packages").with_suffix(".lock")
    done = forja("resolve", "clasificado", *words, "--build", tmp_path / "build", "--locked", lock)
    assert done.code == 0, done.stderr
    again = json.loads((tmp_path / "build/clasificado-rhel-8.3/packages.json").read_text())
    assert again["packages"] == json.loads(room.path("packages").read_text())["packages"]


def test_comps_and_modules_stay_as_they_are_in_a_trimmed_medium(
    kit: Kit, trimmed: Path, tmp_path: Path
) -> None:
    for repository, kinds in {"BaseOS": {"group"}, "AppStream": {"group", "modules"}}.items():
        before, after = (
            extract_folder(iso, f"{repository}/repodata", tmp_path / repository / iso.stem)
            for iso in (kit.dvd, trimmed)
        )
        old, new = other_metadata(before), other_metadata(after)
        assert kinds <= new.keys()
        assert {kind: new[kind] for kind in kinds} == {kind: old[kind] for kind in kinds}


def other_metadata(repodata: Path) -> dict[str, str]:
    """Return the text of each metadata file of a repository that is not about its packages."""
    text = (repodata / "repomd.xml").read_text()
    found = re.findall(r'<data type="(\w+)">.*?<location href="repodata/([^"]+)"', text, re.DOTALL)
    return {
        kind: run(["zcat", "-f", repodata / name], doing=f"read {name}").stdout
        for kind, name in found
        if kind not in ("primary", "filelists", "other")
    }


def test_a_list_of_another_medium_is_refused(kit: Kit, room: Room, tmp_path: Path) -> None:
    gone = next(item.location for item in read_set(room).packages if item.repository == "BaseOS")
    other = alter_iso(kit.dvd, tmp_path / "other.iso", {gone: None})
    with pytest.raises(BadInput, match=f"needs {re.escape(gone)}, which other.iso does not have"):
        write(room, other, kit.erratum, tmp_path, trim=True)


def write(room: Room, dvd: Path, updates: Path, folder: Path, *, trim: bool = False) -> None:
    """Write a medium of another DVD or of other updates than were resolved, as no command does."""
    contents = Contents(room.path("kickstart"), room.path("overlay"), room.path("packages"), updates)
    medium, log = folder / "medium.iso", folder / "medium.log"
    make_medium(room.plan, inspect_medium(dvd), contents, medium, trim=trim, log=log)


def test_mkksiso_gives_the_same_files(
    make: Make, room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = os.environ.get("FORJA_MKKSISO", "")
    if named:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/mkksiso").symlink_to(named)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    if find_program("mkksiso") is None:
        pytest.skip("this host has no mkksiso (lorax), and FORJA_MKKSISO names none")
    medium = medium_of(make(tmp_path / "build", "--medium-with", "mkksiso"))
    ours, its = digests(room.path("medium"), tmp_path / "a"), digests(medium, tmp_path / "b")
    assert ours.keys() == its.keys()
    assert {path for path in ours if ours[path] != its[path]} <= WRITTEN_BY_THE_WRITER
    assert inspect_medium(medium).volume_id == LABEL


def test_mkksiso_can_not_trim(make: Make, tmp_path: Path) -> None:
    done = make(tmp_path, "--trim", "--medium-with", "mkksiso")
    assert done.code == 2
    assert "mkksiso can only add to a medium: it can't leave packages out" in done.stderr
