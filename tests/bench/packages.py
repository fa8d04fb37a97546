"""The packages of the bench's DVD: as many, as large and with as much metadata as RHEL 8.3's, or more.

RHEL 8.3's DVD has 8.8 GiB, some 1,700 packages in BaseOS and 5,000 in AppStream; ours has 8,000. The 600 of
the test kit bear their real names; the bench gives them files and payloads of a plausible size, for dnf, the
signatures and the digests take their time by these. All the rest are never chosen: their metadata is like
that of real ones, their content is noise.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.media.dvd import KEY_FILE
from tests.media.rhel83 import read_packages
from tests.media.rpms import Link, Rpm

MIB = 2**20
MODULAR = 0.3
"""The share of AppStream that belongs to module streams."""
STREAM_SIZE = 16
GZIPPED = 0.76
"""What gzip leaves of random letters."""

LARGE = {
    "cracklib-dicts": 4,
    "glibc": 3.6,
    "glibc-common": 1.3,
    "grub2-efi-x64": 0.4,
    "grub2-tools": 2,
    "hwdata": 1.6,
    "iwl6050-firmware": 0.3,
    "iwl7260-firmware": 22,
    "kernel": 4.3,
    "kernel-core": 30,
    "kernel-modules": 26,
    "kernel-tools": 4.5,
    "linux-firmware": 101,
    "microcode_ctl": 6.9,
    "NetworkManager": 2.3,
    "python3-libs": 7.8,
    "selinux-policy-targeted": 15,
    "systemd": 3.6,
    "systemd-udev": 1.3,
}
"""MiB of the large packages of RHEL 8.3's minimal set, about."""
SYLLABLES = (
    "an ar cor de dic el fen gra hol in ix jo ka lum mi nor ost pri qui ras sel tor ul ven wis xan yor zed"
)
LANGUAGES = (
    "af ar ast bg bn bs ca cs da de el en_GB es et eu fa fi fr gl he hi hr hu id it ja ko lt nb nl pl pt"
)
KINDS = ("lib{}", "{}", "{}-devel", "{}-doc", "perl-{}", "python3-{}", "{}-libs", "{}-common", "texlive-{}")
SYMBOLS = (
    *(f"libc.so.6(GLIBC_{version})(64bit)" for version in ("2.2.5", "2.3.4", "2.4", "2.14", "2.17", "2.28")),
    *(
        "libdl.so.2()(64bit)",
        "libm.so.6()(64bit)",
        "libpthread.so.0(GLIBC_2.2.5)(64bit)",
        "libz.so.1()(64bit)",
    ),
)
"""What nearly every package needs."""


@dataclass(frozen=True)
class Padding:
    """A package that is never chosen: a file of noise, and metadata."""

    rpm: Rpm
    size: int
    """Bytes of its file."""


def make_words(chance: random.Random, count: int) -> list[str]:
    """Return different made-up words."""
    syllables, words = SYLLABLES.split(), dict[str, None]()
    while len(words) < count:
        words["".join(chance.choices(syllables, k=chance.randint(2, 4)))] = None
    return list(words)


def make_files(name: str, count: int, words: Sequence[str], chance: random.Random) -> list[str]:
    """Return paths as a package of that name holds them: programs, libraries, headers, modules, languages."""
    languages = LANGUAGES.split()
    shapes = [
        lambda word: f"/usr/share/doc/{name}/{word}/{chance.choice(words)}.html",
        lambda word: f"/usr/share/{name}/{chance.choice(words)}/{word}.xml",
        lambda word: f"/usr/include/{name}/{word}.h",
        lambda word: f"/usr/lib/python3.6/site-packages/{name}/{word}.py",
        lambda word: f"/usr/lib/python3.6/site-packages/{name}/__pycache__/{word}.cpython-36.opt-1.pyc",
        lambda word: f"/usr/share/locale/{chance.choice(languages)}/LC_MESSAGES/{name}-{word}.mo",
        lambda word: f"/usr/lib/.build-id/{chance.getrandbits(8):02x}/{chance.getrandbits(152):038x}",
        lambda word: f"/usr/lib64/{name}/lib{word}.so.{chance.randint(0, 9)}",
    ]
    mine = chance.sample(shapes, 3)
    paths = dict.fromkeys(mine[number % 3](chance.choice(words)) for number in range(count))
    return [f"/usr/bin/{name}-{chance.choice(words)}", f"/usr/share/licenses/{name}/COPYING", *paths]


def count_files(chance: random.Random) -> int:
    """Return how many files a package has: few for most, thousands for some; about 75 on average."""
    return min(5000, int(chance.lognormvariate(2.9, 1.7)))


def real_packages(key: str) -> dict[str, list[Rpm]]:
    """Return the kit's packages with needs, files and payloads as large as RHEL's; repository -> packages.

    Args:
        key: the public key, armoured, which the release package installs.
    """
    chance = random.Random(1)
    words = make_words(chance, 900)
    blocks = ["".join(chance.choices("0123456789abcdefghijklmnopqrstuvwxyzABCDEF", k=MIB)) for _ in range(8)]
    return {
        name: [enrich(rpm, blocks, words, chance, key) for rpm in rpms]
        for name, rpms in read_packages().items()
    }


def enrich(rpm: Rpm, blocks: Sequence[str], words: Sequence[str], chance: random.Random, key: str) -> Rpm:
    """Return a package of the kit with more in it; what it can be installed with stays the same."""
    if rpm.arch == "i686":  # shares its paths with the x86_64 package of its name
        return rpm
    paths = make_files(rpm.name, min(400, count_files(chance)), words, chance)
    files: dict[str, str | Link] = {**dict.fromkeys(paths, ""), **rpm.files}
    size = int(LARGE.get(rpm.name, min(3.0, chance.lognormvariate(-2.2, 1.2))) * MIB / GZIPPED)
    for number in range(-(-size // MIB)):
        files[f"/usr/share/{rpm.name}/data/{number}"] = chance.choice(blocks)[: size - number * MIB]
    if rpm.name == "redhat-release":
        files[f"/etc/pki/rpm-gpg/{KEY_FILE}"] = key
    libraries = [f"lib{rpm.name}.so.1()(64bit)", f"lib{rpm.name}.so.1(V1)(64bit)"]
    names = [name for name in rpm.requires if name.isidentifier() or ("-" in name and "(" not in name)]
    needs = [f"lib{name}.so.1{symbol}(64bit)" for name in names for symbol in ("()", "(V1)")]
    if rpm.name != "glibc" and names:
        needs += chance.sample(SYMBOLS, 6)
    extra = SYMBOLS if rpm.name == "glibc" else ()
    return dataclasses.replace(
        rpm, files=files, requires=[*rpm.requires, *needs], provides=[*rpm.provides, *libraries, *extra]
    )


def pad(count: int, size: int, taken: Mapping[str, object]) -> list[Padding]:
    """Return packages whose files have `size` bytes together, with names that are not taken."""
    chance = random.Random(2)
    words = make_words(chance, 2500)
    sizes = [chance.lognormvariate(0, 1.6) for _ in range(count)]
    scale = size / sum(sizes)
    found: dict[str, Padding] = {}
    while len(found) < count:
        name = chance.choice(KINDS).format(f"{chance.choice(words)}{chance.choice(('', '', '-' + words[0]))}")
        if name not in taken and name not in found:
            share = sizes[len(found)]
            found[name] = Padding(padded(name, words, chance), max(4096, int(share * scale)))
    return list(found.values())


def padded(name: str, words: Sequence[str], chance: random.Random) -> Rpm:
    """Return a package with made-up metadata."""
    needs = [
        f"lib{chance.choice(words)}.so.{chance.randint(0, 9)}()(64bit)" for _ in range(chance.randint(0, 14))
    ]
    return Rpm(
        name,
        f"{chance.randint(0, 9)}.{chance.randint(0, 40)}.{chance.randint(0, 9)}",
        f"{chance.randint(1, 20)}.el8",
        arch=chance.choice(("x86_64", "x86_64", "noarch")),
        requires=[*needs, *chance.sample(SYMBOLS, 5), "/bin/sh", "rtld(GNU_HASH)"],
        provides=[f"lib{name}.so.{number}()(64bit)" for number in range(chance.randint(0, 5))],
        files=dict.fromkeys(make_files(name, count_files(chance), words, chance), ""),
        summary=f"{' '.join(chance.choices(words, k=7)).capitalize()}",
        vendor="Forja bench",
    )
