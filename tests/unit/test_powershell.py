"""The scripts for Windows: grammar, cmdlets of 2012 R2, what they agree on with Forja, and their docs."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from powershell_script import Script, find_faults, guards, keys_of, read_table, walk, words

from builder.ask.overlay import FOLDER as OVERLAYS
from builder.ask.plan import make_plan
from builder.ask.reading import REPOSITORY
from builder.make import manifest
from builder.make.hyperv import SENT, SOURCE, write_build_folder
from builder.tools.errors import BadInput, ExitCode
from builder.tools.files import sha256

VM, BUILD = "New-ForjaVM.ps1", "Start-ForjaBuild.ps1"
SCRIPTS = sorted(path.name for path in SOURCE.glob("*.ps1"))
DOCS = [REPOSITORY / "docs" / "how-to" / "hyper-v.md", REPOSITORY / "docs" / "operador" / "hyper-v.md"]
PARAMETERS = {
    VM: """Name Csv Vhdx Seed SwitchName Vlan MemoryMiB Processors Generation Path Manifest Differencing
    SkipExisting Start Lang""".split(),  # noqa: SIM905
    BUILD: "Output Generation SwitchName Vlan MemoryMiB Processors Hours Packer Lang".split(),  # noqa: SIM905
}
TEMPLATE = "MicrosoftUEFICertificateAuthority"


def raw(name: str) -> bytes:
    return (SOURCE / name).read_bytes()


def script(name: str) -> Script:
    return Script(raw(name))


def test_both_scripts_are_looked_at() -> None:
    assert set(SCRIPTS) == {VM, BUILD} <= set(SENT)


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_is_right_for_windows_server_2012_r2(name: str) -> None:
    assert find_faults(raw(name)) == []
    assert len(script(name).calls) > 80


BROKEN: list[tuple[str, str, str, str]] = [
    (VM, "try {\r\n    Assert-Host", "try {\r\n    Assert-Host }", "no PowerShell"),
    (VM, "$code = $Failed", "$code = $code ?? $Failed", "no PowerShell"),
    (VM, "$ready = $false", "$ready = $true ? 1 : 2", "no PowerShell"),
    (VM, "$made = $null", "class Machine { [string] $Name }", "class is newer"),
    (VM, "$made = $null", "Get-VMHost && Get-VMHost", "&& or || is newer"),
    (
        VM,
        "New-Object -TypeName System.Exception -ArgumentList $Text",
        "[Exception]::new($Text)",
        "new() is newer",
    ),
    (VM, "-VMName $Machine.Name -ControllerN", "-VM $Machine -ControllerN", "Set-VMDvdDrive has no -VM on"),
    (
        VM,
        "Add-VMDvdDrive -VM $Machine",
        "Add-VMDvdDrive -VM $Machine -VMName $Image",
        "takes no Path with VM with VMName",
    ),
    (VM, "Start-VM -VM $made", "Start-VM -Machine $made", "Start-VM has no -Machine on"),
    (
        VM,
        "Get-Content -LiteralPath $File -Raw",
        "Get-Content -LiteralPath $File -AsByteStream",
        "-AsByteStream",
    ),
    (VM, "Get-VMHost)", "Get-VMHostCluster)", "Get-VMHostCluster is no cmdlet"),
    (VM, "'Set-VMFirmware' 'SecureBootTemplate'", "'Set-VM' 'SecureBootTemplate'", "is not asked for first"),
    (VM, "if (Test-Parameter 'Set-VM' 'CheckpointType') {", "if ($true) {", "-CheckpointType is newer, and"),
    (
        VM,
        "if ($PSCmdlet.ShouldProcess($wish['Name'], $what)) {",
        "if ($what) {",
        "New-VM without ShouldProcess",
    ),
    (
        VM,
        "    Assert-Wishes $wishes\r\n",
        "    Assert-Wishes $wishes\r\n    New-Machine $wishes[0]\r\n",
        "without Should",
    ),
    (VM, "$disk = Join-Path", "$disc = Join-Path", "$disk has no value here"),
    (VM, '"no existe el disco $Disk"', '"no existe el disco $Dsk"', "$Dsk has no value here"),
    (VM, "New-Disk $Wish $disk", "New-Disk $disk", "New-Disk takes 2 values, and gets 1"),
    (
        BUILD,
        "if ($PSCmdlet.ShouldProcess($build.Name, $what)) {",
        "if ($what) {",
        "New-Item without ShouldProcess",
    ),
    (
        BUILD,
        "    Assert-Place $folder",
        "    Write-Text 'a' 'b'\r\n    Assert-Place $folder",
        "a file is written",
    ),
    (BUILD, "Test-VHD -Path", "Test-VHDX -Path", "Test-VHDX is no cmdlet"),
    (BUILD, "$GiB = 1073741824\r\n", "$GiB = 1073741824\n", "CR LF"),
    (BUILD, "\ufeff", "", "byte order mark"),
]


@pytest.mark.parametrize(("name", "old", "new", "says"), BROKEN)
def test_what_is_broken_is_seen(name: str, old: str, new: str, says: str) -> None:
    text = raw(name).decode()
    assert old in text
    faults = find_faults(text.replace(old, new, 1).encode())
    assert any(says in fault for fault in faults), faults


def test_git_keeps_the_line_ends() -> None:
    asked = ["git", "check-attr", "eol", "--", *(f"packer/{name}" for name in SCRIPTS)]
    said = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if said.returncode != 0:  # a copy without its history
        assert "*.ps1 text eol=crlf" in (REPOSITORY / ".gitattributes").read_text()
    else:
        assert said.stdout.count("eol: crlf") == len(SCRIPTS)


def test_the_table_has_no_more_than_is_used() -> None:
    text = " ".join(path.read_text(encoding="utf-8") for path in (*SOURCE.iterdir(), *DOCS))
    assert [name for name in read_table() if not re.search(rf"\b{name}\b", text)] == []


def test_every_value_of_a_machine_is_one_that_it_has() -> None:
    found = script(VM)
    made = next(
        keys_of(node) for node in walk(found.functions["New-Wish"]) if node.type == "hash_literal_body"
    )
    given = set(re.findall(r"(?i)\$wish\['(\w+)'\] = ", raw(VM).decode()))
    used = set(re.findall(r"(?i)\$wish\['(\w+)'\]", raw(VM).decode()))
    assert used == made | given
    assert given - made == {"Exists", "Folder"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_parameters_are_those_of_the_help(name: str) -> None:
    found = script(name)
    assert list(found.parameters) == PARAMETERS[name]
    assert found.aliases == {"Switch": "SwitchName"}
    helped = re.findall(r"(?m)^\.PARAMETER (\w+)\r?$", raw(name).decode())
    assert helped == PARAMETERS[name] or sorted(helped) == sorted(PARAMETERS[name])
    binding = re.search(rb"\[CmdletBinding\((.*)\)\]", raw(name))
    assert binding is not None
    assert b"SupportsShouldProcess = $true" in binding[1]


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_ends_with_forjas_exit_codes(name: str) -> None:
    codes = dict(re.findall(r"(?m)^\$(BadInput|HostUnready|Failed) = (\d+)", raw(name).decode()))
    assert {key: int(code) for key, code in codes.items()} == {
        "BadInput": ExitCode.BAD_INPUT,
        "HostUnready": ExitCode.HOST_UNREADY,
        "Failed": ExitCode.STAGE_FAILED,
    }


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_message_is_in_both_languages(name: str) -> None:
    calls = [call for call in script(name).calls if call.name == "Select-Text"]
    assert len(calls) >= 12
    for call in calls:
        spanish, english = [
            words(part) for part in call.node.children[-1].children if part.type != "command_argument_sep"
        ]
        assert spanish != english
        facts = [sorted(re.findall(r"\$[{(]*(\w+)", text)) for text in (spanish, english)]
        assert facts[0] == facts[1]


def test_secure_boot_is_off_only_where_there_is_no_template() -> None:
    found = script(VM)
    assert f"$SecureBootTemplate = '{TEMPLATE}'".encode() in raw(VM)
    calls = [call for call in found.calls if "EnableSecureBoot" in call.parameters]
    values = {re.search(r"-EnableSecureBoot (\w+)", words(call.node))[1]: call for call in calls}  # type: ignore[index]
    assert set(values) == {"On", "Off"}
    asked = "Test-Parameter 'Set-VMFirmware' 'SecureBootTemplate'"
    assert [words(condition) for condition, _ in guards(values["On"].node)] == [asked]
    otherwise = values["Off"].node
    while otherwise.type != "else_clause":
        assert otherwise.parent is not None
        otherwise = otherwise.parent
    assert otherwise.parent is not None
    assert words(otherwise.parent).startswith(f"if ({asked})")


def test_a_machine_gets_what_the_issue_asks_for() -> None:
    found = script(VM)
    given = {(call.name, parameter) for call in found.calls for parameter in call.parameters}
    assert given >= {
        ("New-VM", "Generation"), ("New-VM", "VHDPath"), ("New-VM", "MemoryStartupBytes"),
        ("Set-VMMemory", "DynamicMemoryEnabled"), ("Set-VMProcessor", "Count"),
        ("Connect-VMNetworkAdapter", "SwitchName"), ("Set-VMNetworkAdapterVlan", "VlanId"),
        ("Set-VM", "CheckpointType"), ("Set-VM", "AutomaticCheckpointsEnabled"),
        ("Set-VM", "AutomaticStartAction"), ("Set-VM", "AutomaticStopAction"),
        ("Disable-VMIntegrationService", "VMIntegrationService"), ("Add-VMDvdDrive", "Path"),
        ("Set-VMDvdDrive", "Path"), ("Remove-VM", "Force"), ("Remove-Item", "Recurse"),
        ("New-VHD", "Differencing"),
    }  # fmt: skip
    assert b"-DynamicMemoryEnabled $false" in raw(VM)
    # The services' names are in the language of Windows.
    identity = re.search(rb"\$GuestFileCopy = '(\S+)'", raw(VM))
    assert identity is not None
    assert str(uuid.UUID(identity[1].decode())).upper() == "6C09BB55-D683-4DA0-8931-C9BF705F6480"
    integration = [call for call in found.calls if "VMIntegrationService" in call.name]
    assert len(integration) == 3
    assert not any("Name" in call.parameters for call in integration)


def test_columns_of_a_list_are_the_parameters_of_one_machine() -> None:
    stated = re.search(rb"(?m)^\$Columns = (.*?)\r?$", raw(VM))
    assert stated is not None
    columns = re.findall(r"'(\w+)'", stated[1].decode())
    found = script(VM)
    for column in columns:
        assert found.aliases.get(column, column) in found.parameters
    made = next(
        keys_of(node) for node in walk(found.functions["New-Wish"]) if node.type == "hash_literal_body"
    )
    assert made == set(columns)
    for doc in DOCS:
        heading = re.search(r"(?m)^ *(Name;.*)$", doc.read_text(encoding="utf-8"))
        assert heading is not None
        assert heading[1].split(";") == columns


def test_the_var_file_has_every_variable_and_no_other() -> None:
    text = (SOURCE / "variables.pkr.hcl").read_text()
    variables = set(re.findall(r'(?m)^variable "(\w+)"', text)) - {"qemu"}
    found = script(BUILD)
    assert found.hash_keys("values") == variables
    object_of = re.search(r'(?s)variable "hyperv" \{\s+type = object\(\{(.*?)\}\)', text)
    assert object_of is not None
    inner = [
        keys_of(node) for node in walk(found.functions["Invoke-Packer"]) if node.type == "hash_literal_body"
    ]
    assert set(re.findall(r"(\w+) +=", object_of[1])) in inner
    template = (SOURCE / "hyperv.pkr.hcl").read_text()
    assert "$Source = 'forja.hyperv-iso.image'" in raw(BUILD).decode()
    assert 'name    = "forja"' in template
    assert 'source "hyperv-iso" "image"' in template


def test_what_the_template_waits_with_is_powershell_too() -> None:
    template = (SOURCE / "hyperv.pkr.hcl").read_text()
    inline = re.search(r"(?s)<<-END\n(.*?)\n *END\n", template)
    assert inline is not None
    text = inline[1].replace("${var.name}", "x").replace("\n", "\r\n")
    assert find_faults(text.encode()) == []
    assert "{{" not in text
    assert "disable_shutdown" not in re.sub(r"(?m)^ *#.*$", "", template)  # unknown to Packer 1.6.6
    assert 'guest_additions_mode = "none"' in template
    for typed in ("http_directory", "floppy", "ssh_", "shutdown_command", 'provisioner "shell"'):
        assert typed not in re.sub(r"#.*", "", template)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    medium = tmp_path / "clasificado-laboratorio.iso"
    medium.write_bytes(b"\0" * 4096)
    return write_build_folder(make_plan("clasificado", None, "laboratorio"), medium, tmp_path / "carpeta")


def sum_pattern(name: str) -> str:
    stated = re.search(r"match '(\^\(\[0-9A-Fa-f\].*?)'", raw(name).decode())
    assert stated is not None
    return stated[1]


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_folder_is_what_the_script_reads(folder: Path, name: str) -> None:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    found = {}
    for line in lines:
        match = re.match(sum_pattern(name), line)
        assert match is not None, line
        found[match[2]] = match[1]
    assert found == {path.name: sha256(path) for path in folder.iterdir() if path.name != "SHA256SUMS"}
    assert set(found) == {*SENT, "forja.json", "clasificado-laboratorio.iso"}
    values = json.loads((folder / "forja.json").read_text())
    assert values["medium"] in found
    read = set(re.findall(r"\$build\.([a-z_]+)\b", raw(BUILD).decode()))
    assert set(values) == read
    assert "LABORATORIO" in values["notice"]
    assert (folder / VM).read_bytes() == raw(VM)


def test_a_folder_that_is_there_stays_as_it_is(folder: Path) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(BadInput, match="exists already"):
        write_build_folder(make_plan("clasificado", None, "laboratorio"), folder / "forja.json", folder)
    assert sorted(folder.iterdir()) == before
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_windows_can_read_the_names_in_a_manifest() -> None:
    """ConvertFrom-Json takes no two names that differ in nothing but case."""
    names = [str(path.relative_to(OVERLAYS)) for path in OVERLAYS.rglob("*") if path.is_file()]
    assert len({name.lower() for name in names}) == len(names)
    assert (manifest.NAME, manifest.SUMS) == ("manifest.json", "SHA256SUMS")
    assert b"'SHA256SUMS', 'manifest.json'" in raw(VM)


def used_parameters(text: str) -> list[tuple[str, str]]:
    """Return (script, parameter) of every call of a script in a page, lines that go on (`) joined."""
    joined = re.sub(r"`\n\s*", " ", text)
    return [
        (name, parameter)
        for name, rest in re.findall(r"\.\\([\w-]+\.ps1)([^\n]*)", joined)
        for parameter in re.findall(r"(?<=\s)-([A-Za-z]+)", re.sub(r"'[^']*'", "''", rest))
    ]


@pytest.mark.parametrize("doc", DOCS, ids=["en", "es"])
def test_docs_name_scripts_and_parameters_that_are_there(doc: Path) -> None:
    text = doc.read_text(encoding="utf-8")
    used = used_parameters(text)
    assert {name for name, _ in used} == set(SCRIPTS)
    for name, parameter in used:
        found = script(name)
        known = {*found.parameters, *found.aliases, "WhatIf", "Confirm", "Verbose"}
        assert parameter in known, f"{doc.name}: {name} -{parameter}"
    # What is in backticks is a parameter of one of the two, or of a cmdlet beside it.
    for parameter in re.findall(r"`-([A-Z]\w+)", text):
        assert any(parameter in {*script(name).parameters, "WhatIf"} for name in SCRIPTS), parameter
    # A cmdlet that a person types is one of 2012 R2 as well.
    for block in re.findall(r"(?ms)^ *```powershell\n(.*?)^ *```", text):
        calls = Script(block.encode()).calls
        for call in calls:
            if call.name not in {*SCRIPTS, *TYPED}:
                row = read_table()[call.name]
                assert set(call.parameters) <= row.parameters, call.name


TYPED = {"Install-WindowsFeature", "vmconnect", "cd", "packer"}
"""What people type besides the table's cmdlets: all of 2012 R2."""


@pytest.mark.parametrize("doc", DOCS, ids=["en", "es"])
def test_what_the_scripts_are_said_to_say_they_say(doc: Path) -> None:
    table = doc.read_text(encoding="utf-8").rsplit("\n## ", 1)[1]
    said = b"".join(map(raw, SCRIPTS)).decode()
    shown = re.findall(r"(?m)^\| `(.*?)`", table)
    assert len(shown) == 8
    for message in shown:
        parts = [part for part in re.split(r"…|code 1|código 1", message) if part.strip()]
        assert all(part.strip(" '") in said for part in parts), message


def both(pick: Callable[[str], Any]) -> tuple[Any, Any]:
    english, spanish = (pick(doc.read_text(encoding="utf-8")) for doc in DOCS)
    return english, spanish


def test_both_pages_say_the_same() -> None:
    def blocks(text: str) -> list[list[str]]:
        found = re.findall(r"(?ms)^ *```\w+\n(.*?)^ *```", text)
        return [re.sub(r"#.*", "", re.sub(r" +-Lang en", "", block)).split() for block in found]

    english, spanish = both(blocks)
    assert len(english) >= 12
    assert english == spanish
    english, spanish = both(lambda text: len(re.findall(r"(?m)^#+ ", text)))
    assert english == spanish
    english, spanish = both(lambda text: len(re.findall(r"(?m)^\d+\. ", text)))
    assert english == spanish >= 20
    english, spanish = both(lambda text: len(re.findall(r"(?m)^\|", text)))
    assert english == spanish
