"""The files of amavis, clamd and SpamAssassin as they are rendered, held against each other and Postfix's."""

from __future__ import annotations

import re
import subprocess
from itertools import product
from pathlib import Path

import pytest

from builder.ask.overlay import FOLDER, read_overlay
from builder.ask.plan import Plan, make_plan
from builder.ask.profile import profile_names
from builder.ask.site import EXAMPLE
from builder.make.overlay import collect_members
from builder.tools.process import find_program

AMAVIS = "/etc/amavisd/amavisd.conf"
FILTERS = ("amavis", "clamav", "freshclam", "spamassassin")
# Decoder -> RHEL package. tnef and mail are Perl modules that amavis itself requires.
PROGRAMS = {
    "gzip": "gzip",
    "bzip2": "bzip2",
    "xz": "xz",
    "cpio": "cpio",
    "cabextract": "cabextract",
    "7za": "p7zip",
}


def render(plan: Plan) -> dict[str, str]:
    return {
        member.path: member.content.decode() for member in collect_members(plan) if member.content is not None
    }


@pytest.fixture(scope="module", params=product(profile_names(), ["rhel-8.3", "laboratorio"]), ids="-".join)
def files(request: pytest.FixtureRequest) -> dict[str, str]:
    profile, platform = request.param
    return render(make_plan(profile, None, platform))


def test_names_are_those_that_postfix_refuses(files: dict[str, str]) -> None:
    postfix = set(
        re.findall(r"Adjunto de tipo no permitido \(\.(\S+)\)", files["/etc/postfix/mime_header_checks"])
    )
    amavis = re.search(r"qr'\\\.\((ade\|[^)]*)\)", files[AMAVIS])
    assert amavis
    assert len(postfix) > 80
    assert set(amavis[1].split("|")) == postfix


def test_every_decoder_has_its_package(files: dict[str, str]) -> None:
    table = files[AMAVIS].partition("@decoders = (")[2].partition("\n);")[0]
    programs = {argument.split()[0] for argument in re.findall(r", \['([^']+)'\]", table)}
    assert programs == set(PROGRAMS)
    assert set(PROGRAMS.values()) | {"file"} <= set(read_overlay("amavis").packages)
    hook = (FOLDER / "amavis" / "apply.sh").read_text(encoding="utf-8")
    checked = re.search(r"for program in (.*); do", hook)
    assert checked
    assert set(checked[1].split()) == programs | {"file"}


def test_postfix_opens_no_more_connections_than_amavis_may_have(files: dict[str, str]) -> None:
    service = re.search(r"^smtp-amavis .*$", files["/etc/postfix/master.cf"], re.MULTILINE)
    most = re.search(r"\(\$max_servers\) = sort \{ \$a <=> \$b \} (\d+),", files[AMAVIS])
    assert service
    assert most
    assert service[0].split()[6] == most[1]


def test_timeouts_are_in_their_order(files: dict[str, str]) -> None:
    """clamd gives up before amavis, and amavis before Postfix: else the outer one would try it again."""
    clamd = int(re.findall(r"^MaxScanTime (\d+)", files["/etc/clamd.d/scan.conf"], re.MULTILINE)[0]) / 1000
    amavis = 60 * int(re.findall(r"child_timeout = (\d+) \* 60", files[AMAVIS])[0])
    postfix = int(re.findall(r"smtp_data_done_timeout=(\d+)", files["/etc/postfix/master.cf"])[0])
    assert clamd < amavis < postfix


@pytest.mark.parametrize(("limit", "unfolded"), [(1, 8), (25, 200), (200, 400)])
def test_limits_follow_the_size_of_messages(tmp_path: Path, limit: int, unfolded: int) -> None:
    text = EXAMPLE.read_text(encoding="utf-8").replace("[mail]\n", f"[mail]\nmessage_limit_mib = {limit}\n")
    (tmp_path / "site.toml").write_text(text, encoding="utf-8")
    found = render(make_plan("clasificado", tmp_path / "site.toml", "rhel-8.3"))
    assert f"$MAX_EXPANSION_QUOTA = {unfolded} * 1024 * 1024;" in found[AMAVIS]
    assert f"MaxFileSize {unfolded}M\n" in found["/etc/clamd.d/scan.conf"]
    # The headers that the filter adds must not make a message too large that was just small enough.
    sizes = re.findall(r"message_size_limit=(\d+)", found["/etc/postfix/master.cf"])
    assert len(sizes) == 2
    assert all(int(size) > limit * 1048576 for size in sizes)
    assert f"message_size_limit = {limit * 1048576}\n" in found["/etc/postfix/main.cf"]


def test_no_way_past_the_antivirus(files: dict[str, str]) -> None:
    text = files[AMAVIS]
    assert "$virus_scanners_failure_is_fatal = 1;" in text
    assert "@av_scanners_backup = ();" in text
    assert not re.search(r"bypass_(virus|banned|spam)|_lovers", text)
    bypass = re.findall(r"^  -o content_filter=.*$", files["/etc/postfix/master.cf"], re.MULTILINE)
    assert bypass == ["  -o content_filter="]


@pytest.mark.parametrize("platform", ["rhel-8.3", "laboratorio"])
@pytest.mark.parametrize("profile", profile_names())
def test_the_network_is_asked_only_where_the_profile_says_so(profile: str, platform: str) -> None:
    files, asks = render(make_plan(profile, None, platform)), profile != "clasificado"
    plugins = next(text for path, text in files.items() if path.endswith("/forja.pre"))
    assert not re.search(r"^loadplugin .*(Razor|Pyzor|DCC)", plugins, re.MULTILINE)
    assert (
        bool(re.search(r"^loadplugin .*(URIDNSBL|SPF|DKIM|DNSEval|AskDNS)$", plugins, re.MULTILINE)) == asks
    )
    assert f"$sa_local_tests_only = {int(not asks)};" in files[AMAVIS]
    local = next(text for path, text in files.items() if path.endswith("/local.cf"))
    assert ("dns_available no" in local) == (not asks)


def test_signatures_come_from_the_mirror_that_the_site_has(tmp_path: Path) -> None:
    site, mirror = tmp_path / "site.toml", "https://firmas.ejemplo.es/clamav"
    site.write_text(
        f'{EXAMPLE.read_text(encoding="utf-8")}\n[antivirus]\nmirror = "{mirror}"\n', encoding="utf-8"
    )
    conf = render(make_plan("ens-basica", site, "rhel-8.3"))["/etc/freshclam.conf"]
    assert f"\nPrivateMirror {mirror}\n" in conf
    assert "DatabaseMirror" not in conf
    assert "/etc/freshclam.conf" not in render(make_plan("ens-basica", None, "rhel-8.3"))


PERL = r"""
use constant {D_PASS => 1, D_DISCARD => 0, CC_UNCHECKED => 7};
sub new_RE { [@_] }
sub read_text { '' }
sub do_mime_decode {} sub do_uncompress {} sub do_pax_cpio {} sub do_cabextract {} sub do_tnef {}
sub do_7zip {} sub ask_daemon {}
$map_full_type_to_short_type_re = [];
eval { do $ARGV[0] // die $@ || $!; 1 } or die;
sub first { my($text, $rules) = @_; for (@$rules) { return $_->[1] if $text =~ $_->[0] } () }
print "servers\t$max_servers\n";
while (my $line = <STDIN>) {
    chomp($line); my($kind, $text) = split(/ /, $line, 2); $text =~ s/\\([tn])/$1 eq 't' ? "\t" : "\n"/ge;
    my $rules = $kind eq 'path' ? $banned_namepath_re : $banned_filename_re;
    my @types = first($text, $map_full_type_to_short_type_re);
    my $said = $kind eq 'type' ? join(',', map { ref $_ ? @$_ : $_ } @types)
        : (grep { $text =~ $_ } @$rules) ? 'banned' : 'passes';
    print "$line\t$said\n";
}
"""


@pytest.mark.skipif(find_program("perl") is None, reason="amavisd.conf is Perl")
def test_what_is_banned(files: dict[str, str], tmp_path: Path) -> None:
    """amavisd.conf run by Perl, with amavis's own words declared; names, types and paths put to its rules."""
    expected = {
        "name informe.exe": "banned",
        "name INFORME.SCR ": "banned",
        "name carta.js.": "banned",
        "name disco.vhdx": "banned",
        "name datos.tar.zst": "banned",
        "name .exe-ms": "banned",
        "name .rar": "banned",
        "name .unopened": "banned",
        "name application/x-msdownload": "banned",
        "name message/partial": "banned",
        "name carta.{00020424-0000-0000-C000-000000000046}": "banned",
        "name factura                              .exe_": "banned",
        "name informe.pdf": "passes",
        "name informe.exe.pdf": "passes",
        "name datos.zip": "passes",
        "name copia.tar.gz": "passes",
        "name Acta de la reunión.docx": "passes",
        "name .zip": "passes",
        "name .doc": "passes",
        "name application/pdf": "passes",
        "type PE32 executable (GUI) Intel 80386, for MS Windows": "exe,exe-ms",
        "type PE32+ executable (DLL) (GUI) x86-64, for MS Windows": "exe,dll",
        "type ELF 64-bit LSB shared object, x86-64": "exe,exe-unix",
        "type Composite Document File V2 Document, Little Endian, MSI Installer": "exe,msi",
        "type Microsoft Word 2007+": "zip,doc",
        "type RAR archive data, v5": "unopened",
        "type DOS/MBR boot sector; partition 1": "image-of-disk",
        "type PDF document, version 1.4": "",
        r"path P=p003\tL=1/2\tM=application/zip\tT=zip\tN=a.zip\nP=p004\tN=n.txt\tA=U\tA=C": "banned",
        r"path P=p003\tL=1/2\tM=application/octet-stream\tT=7z\tN=a.7z": "banned",
        r"path P=p003\tL=1/2\tM=application/zip\tT=zip\tN=a.zip\nP=p004\tT=asc\tN=n.txt": "passes",
        r"path P=p003\tL=1/2\tM=application/octet-stream\tT=dat\tN=x\tA=U": "banned",
        r"path P=p002\tL=1/1\tM=application/pgp-encrypted\tT=asc\tA=U\tA=C": "passes",
        r"path P=p003\tL=1/2\tM=application/pkcs7-mime\tT=dat\tN=smime.p7m": "passes",
    }  # fmt: skip
    names = sorted(
        set(re.findall(r"[$@%](\w+)", files[AMAVIS])) - {"ENV", "a", "b", "_", "in", "file", "pattern"}
    )
    declared = "".join(f"our ${name}; our @{name}; our %{name};\n" for name in names)
    conf = tmp_path / "amavisd.conf"
    conf.write_text(declared + files[AMAVIS], encoding="utf-8")
    script = tmp_path / "ask.pl"
    script.write_text(declared + PERL, encoding="utf-8")
    done = subprocess.run(
        ["perl", "-CSDA", str(script), str(conf)],
        input="\n".join(expected) + "\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    servers, *answers = (line.split("\t", 1) for line in done.stdout.splitlines())
    found = {text: said for text, _, said in (line.rpartition("\t") for line in done.stdout.splitlines()[1:])}
    assert found == expected, answers
    assert 2 <= int(servers[1]) <= 8
