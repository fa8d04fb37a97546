"""The program that takes a seed, on a root file system of its own: applied, cut off, another one, the door.

A layer over this host's root, in namespaces, thrown away afterwards. Not every kernel that tests run on reads
ISO 9660, so the seed's folder stands for the mounted CD; the CD itself is seen by test_seed (integration).
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from builder.ask.overlay import FOLDER
from builder.ask.plan import make_plan
from builder.ask.site import EXAMPLE
from builder.make.overlay import IDENTITY, SEEDABLE, write_overlay
from builder.make.seed import pack_seed, plan_server, read_image

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and owners are root's to give")

NO_LAYERS = 77
ROOT = """
w=$1; mkdir -p $w/m; mount -t tmpfs tmpfs $w/m; mkdir $w/m/u $w/m/w $w/m/r; r=$w/m/r
mount -t overlay overlay -o lowerdir=/,upperdir=$w/m/u,workdir=$w/m/w $r 2> /dev/null || exit 77
mount -t proc proc $r/proc && mount --rbind /dev $r/dev && mount -t tmpfs tmpfs $r/run || exit 77
rm -rf $r/var/lib/forja $r/usr/lib/forja $r/etc/issue.d
mkdir -p $r/usr/lib/forja $r/var/lib/forja $r/etc/opendkim/keys
cp -r $w/seed $r/seed; cp $w/program $r/program; cp $w/lib/* $r/usr/lib/forja/
exec chroot $r sh -c "$2"
"""
PEOPLE = """
for name in amavis opendkim administrador operador auditora; do
    getent passwd $name > /dev/null || useradd --create-home $name
done
show() { echo "rc=$?"; ls /var/lib/forja; cat /etc/issue.d/* 2> /dev/null; }
"""
CASES = """
echo "== none"; sh /program; show
echo /seed > /drive
mkdir /usr/lib/forja/tras-semilla.d
echo 'test -e /etc/amavisd/amavisd.conf && echo step >> /steps' > /usr/lib/forja/tras-semilla.d/50-paso
mv /usr/bin/mv /usr/bin/moves
printf '#!/bin/sh\\ncase $* in */etc/hosts) exit 1 ;; esac\\nexec /usr/bin/moves "$@"\\n' > /usr/bin/mv
chmod 755 /usr/bin/mv
echo "== cut"; sh /program; show; test ! -e /etc/amavisd/amavisd.conf || echo some
moves /usr/bin/moves /usr/bin/mv
echo "== again"; sh /program; show; uname -n; cat /etc/hostname /steps
cd /home/administrador/.ssh
stat -c '%a %U:%G %n' /etc/amavisd/amavisd.conf $PWD $PWD/authorized_keys
find /etc /home /var/lib/forja -name '*.semilla' -o -name '*.nueva'; ls -d /run/forja-semilla 2> /dev/null
echo "== same"; sh /program; show
cp -r /seed /other
sed -i 's/^servidor .*/servidor otro.ejemplo.es/' /other/semilla.txt
cd /other; sha256sum *.dat semilla.txt > sumas.txt; echo /other > /drive
echo "== other"; sh /program; show; uname -n
echo "== ssh"; sh /program --abrir; show
echo "== door"; : > /var/lib/forja/semilla.abierta; sh /program; show; uname -n
echo "#" >> /other/f001.dat; : > /var/lib/forja/semilla.abierta
echo "== damaged"; sh /program; show
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    work = tmp_path_factory.mktemp("program")
    plan = make_plan("clasificado", None, "laboratorio", closed=True).without_server
    image = read_image(plan, write_overlay(plan, work / "x.tar"))
    (work / "seed").mkdir()
    (work / "lib").mkdir()
    for name, content in pack_seed(image, plan_server(image, EXAMPLE)).items():
        (work / "seed" / name.lower()).write_bytes(content)
    for path in (IDENTITY, SEEDABLE):
        (work / "lib" / Path(path).name).write_bytes(image.files[path])
    text = (FOLDER / "seed/root/usr/libexec/forja/semilla").read_text(encoding="utf-8")
    for pattern, other in (
        (r'mount -t iso9660 -o \S+ "\$device"', 'mount --bind "$device"'),
        (r"device=\$\(blkid .*\)", "device=$(cat /drive 2> /dev/null || true)"),
        (r"udevadm settle \S+", "true"),
        (r"echo 0 \|\| echo 10", "echo 0 || echo 0"),
    ):
        text, count = re.subn(pattern, other, text)
        assert count == 1, pattern
    (work / "program").write_text(text)
    enter = ["unshare", "--mount", "--uts", "--net", "sh", "-c", ROOT, "sh", work, PEOPLE + CASES]
    done = subprocess.run(enter, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode == NO_LAYERS:
        pytest.skip("this host mounts no layer over its root")
    whole = (done.stdout + done.stderr).replace("\n\n", "\n")
    parts = [part.partition("\n") for part in done.stdout.split("== ")[1:]]
    assert len(parts) == 8, whole
    return {name: text for name, _, text in parts}


def test_without_a_seed_it_stays_closed(said: dict[str, str]) -> None:
    assert "rc=0\n*** SERVIDOR CERRADO: no hay semilla." in said["none"]


def test_a_power_cut_leaves_it_closed_and_the_next_start_does_all_again(said: dict[str, str]) -> None:
    assert "rc=1\nsemilla.lista.nueva\n*** SERVIDOR CERRADO" in said["cut"]
    assert "some" in said["cut"], "it was cut before it had begun"
    assert "rc=0\nsemilla\nsemilla.lista\nrelay.ejemplo.es\nrelay.ejemplo.es\nstep\n" in said["again"]
    assert said["again"].splitlines()[-3:] == [
        "640 root:amavis /etc/amavisd/amavisd.conf",
        "700 administrador:administrador /home/administrador/.ssh",
        "600 administrador:administrador /home/administrador/.ssh/authorized_keys",
    ]


def test_the_same_seed_again_is_nothing(said: dict[str, str]) -> None:
    assert said["same"] == "rc=0\nsemilla\nsemilla.lista\n"


def test_another_seed_waits_for_the_door(said: dict[str, str]) -> None:
    assert said["other"].endswith("\nrelay.ejemplo.es\n")
    assert (
        "rc=1\nsemilla\nsemilla.lista\n*** Semilla rechazada: este servidor ya tiene la suya" in said["other"]
    )
    assert "rc=1\nsemilla\nsemilla.lista\n" in said["ssh"], "the door opens for who is at no console"
    assert "rc=0\nsemilla\nsemilla.lista\notro.ejemplo.es\n" in said["door"]


def test_a_damaged_one_changes_nothing_though_the_door_is_open(said: dict[str, str]) -> None:
    assert (
        "rc=1\nsemilla\nsemilla.abierta\nsemilla.lista\n*** Semilla rechazada: está dañada" in said["damaged"]
    )
