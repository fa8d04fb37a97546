<#
.SYNOPSIS
Builds the golden VHDX on this host with Packer and Hyper-V. / Construye aquí el VHDX con Packer y Hyper-V.

.DESCRIPTION
Runs from the folder that `forja medium PROFILE --hyperv FOLDER` makes. Works from Windows Server 2012 R2 (PowerShell 4.0)
and Packer 1.6.6 on. Every file of the folder is held against SHA256SUMS before anything else. Leaves NAME.vhdx,
manifest.json and SHA256SUMS in a folder NAME of -Output. Nothing on this host looks at the controls: `forja verify` does.
Ends with the exit codes of forja: 0 done, 2 bad input, 4 host not ready, 5 failed.

.PARAMETER Output
Folder that gets a folder with the result.
.PARAMETER Generation
1 (BIOS) or 2 (UEFI): of the machine that installs. The disk starts in both.
.PARAMETER SwitchName
A switch that is there. Without it Packer makes an internal one called Forja, and takes it away: the installation needs none.
.PARAMETER Vlan
VLAN of the network adapter, 1 to 4094; 0: none.
.PARAMETER MemoryMiB
Memory of the machine that installs, fixed.
.PARAMETER Processors
Its processors.
.PARAMETER Hours
When it has not switched itself off by then, the build fails.
.PARAMETER Packer
Path of packer.exe. Default: the one in this folder, else the one on PATH.
.PARAMETER Lang
Language of the messages: es or en.

.EXAMPLE
.\Start-ForjaBuild.ps1 -Output D:\Forja
.EXAMPLE
.\Start-ForjaBuild.ps1 -Output D:\Forja -Generation 1 -WhatIf
#>
#requires -Version 4.0
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'Medium')]
param(
    [Parameter(Mandatory = $true, Position = 0)]
    [string] $Output,

    [ValidateRange(1, 2)]
    [int] $Generation = 2,

    [Alias('Switch')]
    [string] $SwitchName = '',

    [ValidateRange(0, 4094)]
    [int] $Vlan = 0,

    [ValidateRange(2048, 32768)]
    [int] $MemoryMiB = 2048,

    [ValidateRange(1, 64)]
    [int] $Processors = 2,

    [ValidateRange(1, 24)]
    [int] $Hours = 3,

    [string] $Packer = '',

    [ValidateSet('es', 'en')]
    [string] $Lang = 'es'
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$BadInput = 2
$HostUnready = 4
$Failed = 5
$MiB = 1048576
$GiB = 1073741824

$Source = 'forja.hyperv-iso.image'
$SecureBootTemplate = 'MicrosoftUEFICertificateAuthority'
$OldestPacker = [version] '1.6.6'
$PackerWithoutPlugins = [version] '1.10.0'
$NeededBytes = 12 * $GiB
$LeastBytes = 512 * $MiB

function Select-Text([string] $Spanish, [string] $English) {
    if ($Lang -eq 'en') { $English } else { $Spanish }
}

function Stop-Here([int] $Code, [string] $Text) {
    $problem = New-Object -TypeName System.Exception -ArgumentList $Text
    $problem.Data['ExitCode'] = $Code
    throw $problem
}

# Newer hosts know more: whether this one's cmdlet has a parameter.
function Test-Parameter([string] $Command, [string] $Parameter) {
    (Get-Command -Name $Command -Module Hyper-V).Parameters.ContainsKey($Parameter)
}

function Get-FullPath([string] $Written) {
    $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Written)
}

function Assert-Host {
    if (-not (Get-Module -ListAvailable -Name Hyper-V)) {
        Stop-Here $HostUnready (Select-Text `
            'no está el módulo Hyper-V de PowerShell: Install-WindowsFeature Hyper-V-PowerShell' `
            'the Hyper-V module of PowerShell is missing: Install-WindowsFeature Hyper-V-PowerShell')
    }
    $service = Get-Service -Name vmms -ErrorAction SilentlyContinue
    if (-not $service -or "$($service.Status)" -ne 'Running') {
        Stop-Here $HostUnready (Select-Text `
            'el servicio de Hyper-V (vmms) no funciona en este equipo: Install-WindowsFeature Hyper-V -Restart' `
            'the service of Hyper-V (vmms) is not running here: Install-WindowsFeature Hyper-V -Restart')
    }
    $user = [Security.Principal.WindowsPrincipal] [Security.Principal.WindowsIdentity]::GetCurrent()
    # Packer asks for the same.
    foreach ($sid in 'S-1-5-32-544', 'S-1-5-32-578') {
        $group = New-Object -TypeName Security.Principal.SecurityIdentifier -ArgumentList $sid
        if ($user.IsInRole($group)) { return }
    }
    Stop-Here $HostUnready (Select-Text `
        'hace falta una consola de administrador, o una cuenta del grupo Administradores de Hyper-V' `
        'run this as administrator, or as a member of Hyper-V Administrators')
}

function Find-Packer {
    $own = Join-Path -Path $PSScriptRoot -ChildPath 'packer.exe'
    if ($Packer) {
        $found = Get-FullPath $Packer
    } elseif (Test-Path -LiteralPath $own -PathType Leaf) {
        $found = $own
    } else {
        $command = @(Get-Command -Name packer.exe -CommandType Application -ErrorAction SilentlyContinue)
        $found = if ($command.Count -gt 0) { $command[0].Path } else { $own }
    }
    if (-not (Test-Path -LiteralPath $found -PathType Leaf)) {
        Stop-Here $HostUnready (Select-Text `
            "no está ${found}: copie packer.exe a esta carpeta, o diga dónde está con -Packer" `
            "there is no ${found}: copy packer.exe into this folder, or say where it is with -Packer")
    }
    $said = [string] @(& $found version)[0]
    if ($said -notmatch 'Packer v(\d+\.\d+\.\d+)') {
        Stop-Here $HostUnready (Select-Text "$found no es Packer: dice '$said'" "$found is not Packer: it says '$said'")
    }
    $version = [version] $Matches[1]
    if ($version -lt $OldestPacker) {
        Stop-Here $HostUnready (Select-Text `
            "$found es la versión ${version}: hace falta la $OldestPacker o posterior" `
            "$found is version ${version}: $OldestPacker or later is needed")
    }
    if ($version -ge $PackerWithoutPlugins) {
        $plugins = & $found plugins installed | Where-Object -FilterScript { $_ -match 'packer-plugin-hyperv_v' }
        if (-not $plugins) {
            Stop-Here $HostUnready (Select-Text `
                "Packer $version no trae el complemento hyperv: packer plugins install github.com/hashicorp/hyperv" `
                "Packer $version does not bring the plugin hyperv: packer plugins install github.com/hashicorp/hyperv")
        }
    }
    @{ Path = $found; Version = "$version" }
}

# Nothing is started from a folder that is not what was sent.
function Assert-Folder {
    $sums = Join-Path -Path $PSScriptRoot -ChildPath 'SHA256SUMS'
    if (-not (Test-Path -LiteralPath $sums -PathType Leaf)) {
        Stop-Here $BadInput (Select-Text `
            "no está ${sums}: traiga entera la carpeta que hizo forja medium --hyperv" `
            "there is no ${sums}: bring the whole folder that forja medium --hyperv made")
    }
    $named = @{}
    foreach ($line in Get-Content -LiteralPath $sums -Encoding UTF8) {
        if ($line -notmatch '^([0-9A-Fa-f]{64}) [ *](.+)$') { continue }
        $digest = $Matches[1]
        $leaf = $Matches[2]
        $named[$leaf] = $digest
        $file = Join-Path -Path $PSScriptRoot -ChildPath $leaf
        if (-not (Test-Path -LiteralPath $file -PathType Leaf)) {
            Stop-Here $BadInput (Select-Text "falta $file" "$file is missing")
        }
        $found = (Get-FileHash -LiteralPath $file -Algorithm SHA256).Hash
        if ($found -ne $digest) {
            Stop-Here $BadInput (Select-Text `
                "el SHA-256 de $file no es el que da ${sums}: vuelva a traer la carpeta" `
                "the SHA-256 of $file is not what $sums gives: bring the folder again")
        }
    }
    # Packer reads every template in the folder, those that nobody sent too.
    foreach ($template in Get-ChildItem -LiteralPath $PSScriptRoot -File) {
        if ($template.Name -match '\.pkr(vars)?\.(hcl|json)$' -and -not $named.ContainsKey($template.Name)) {
            Stop-Here $BadInput (Select-Text "$($template.FullName) no figura en $sums" "$($template.FullName) is not in $sums")
        }
    }
    $values = Join-Path -Path $PSScriptRoot -ChildPath 'forja.json'
    if (-not $named.ContainsKey('forja.json')) {
        Stop-Here $BadInput (Select-Text "forja.json no figura en $sums" "forja.json is not in $sums")
    }
    $build = Get-Content -LiteralPath $values -Raw -Encoding UTF8 | ConvertFrom-Json
    if (-not $named.ContainsKey($build.medium)) {
        Stop-Here $BadInput (Select-Text "$($build.medium) no figura en $sums" "$($build.medium) is not in $sums")
    }
    @{
        Name = $build.name; DiskMiB = [int] $build.disk_mib; Sum = $named[$build.medium].ToLowerInvariant()
        Medium = Join-Path -Path $PSScriptRoot -ChildPath $build.medium; Notice = [string] $build.notice
    }
}

function Assert-Place([string] $Folder, [string] $Machine) {
    if (Test-Path -LiteralPath $Folder) {
        Stop-Here $BadInput (Select-Text `
            "la carpeta $Folder ya existe: bórrela, o elija otra con -Output" `
            "the folder $Folder exists already: remove it, or choose another with -Output")
    }
    # Packer names machines, and removes them, by name alone.
    if (Get-VM -Name $Machine -ErrorAction SilentlyContinue) {
        Stop-Here $BadInput (Select-Text `
            "ya hay una máquina llamada $Machine, y Packer las confundiría: cámbiele el nombre" `
            "there is a machine called $Machine already, and Packer would take one for the other: rename it")
    }
    if ($SwitchName -and -not (Get-VMSwitch -Name $SwitchName -ErrorAction SilentlyContinue)) {
        Stop-Here $BadInput (Select-Text `
            "este equipo no tiene el conmutador '$SwitchName': véalos con Get-VMSwitch" `
            "this host has no switch '$SwitchName': Get-VMSwitch lists them")
    }
    # Shared volumes and other hosts' folders are not drives: what they have free can't be asked like this.
    $root = [IO.Path]::GetPathRoot($Folder)
    if ($root -match '^[A-Za-z]:' -and $Folder -notlike '*\ClusterStorage\*') {
        $free = (New-Object -TypeName System.IO.DriveInfo -ArgumentList $root).AvailableFreeSpace
        if ($free -lt $NeededBytes) {
            Stop-Here $HostUnready (Select-Text `
                "$root tiene libres $([int] ($free / $GiB)) GiB, y hacen falta $([int] ($NeededBytes / $GiB))" `
                "$root has $([int] ($free / $GiB)) GiB free, and $([int] ($NeededBytes / $GiB)) are needed")
        }
    }
}

# As JSON without a byte order mark, which Packer does not read.
function Write-Text([string] $File, [string] $Text) {
    [IO.File]::WriteAllText($File, $Text)
}

function Invoke-Packer($Tool, $Build, [string] $Folder) {
    $secure = $Generation -eq 2 -and (Test-Parameter 'Set-VMFirmware' 'SecureBootTemplate')
    $values = @{
        name = $Build.Name; medium = $Build.Medium; medium_sha256 = $Build.Sum; disk_mib = $Build.DiskMiB
        output = Join-Path -Path $Folder -ChildPath 'packer'
        memory_mib = $MemoryMiB; cpus = $Processors; time_limit = "${Hours}h"
        hyperv = @{
            generation = $Generation
            'switch' = if ($SwitchName) { $SwitchName } else { 'Forja' }
            vlan = if ($Vlan -gt 0) { "$Vlan" } else { '' }
            secure_boot = $secure
            secure_boot_template = if ($secure) { $SecureBootTemplate } else { '' }
            work = $Folder
        }
    }
    $file = Join-Path -Path $Folder -ChildPath 'valores.json'
    Write-Text $file ($values | ConvertTo-Json -Depth 4)
    $log = Join-Path -Path $Folder -ChildPath 'packer.log'
    $settings = @{
        CHECKPOINT_DISABLE = '1'; PACKER_LOG = '1'; PACKER_LOG_PATH = $log
        PACKER_CACHE_DIR = Join-Path -Path $Folder -ChildPath 'cache'
    }
    $before = @{}
    foreach ($setting in $settings.Keys) {
        $before[$setting] = [Environment]::GetEnvironmentVariable($setting)
        [Environment]::SetEnvironmentVariable($setting, $settings[$setting])
    }
    try {
        & $Tool.Path build '-color=false' "-only=$Source" "-var-file=$file" $PSScriptRoot | Out-Host
        $code = $LASTEXITCODE
    } finally {
        foreach ($setting in $settings.Keys) { [Environment]::SetEnvironmentVariable($setting, $before[$setting]) }
    }
    if ($code -ne 0) {
        Stop-Here $Failed (Select-Text `
            "Packer ha terminado con el código $code; el diario está en $log" `
            "Packer ended with code $code; its log is $log")
    }
}

# Packer ends with 0 as well when -only matches nothing: what counts is the disk.
function Assert-Result($Build, [string] $Folder) {
    $made = Join-Path -Path $Folder -ChildPath 'packer'
    $disks = @(Get-ChildItem -LiteralPath $made -Recurse -File -Filter '*.vhdx' -ErrorAction SilentlyContinue)
    if ($disks.Count -ne 1) {
        Stop-Here $Failed (Select-Text `
            "Packer dice que ha ido bien, y en $made hay $($disks.Count) discos y no uno" `
            "Packer said that all went well, and in $made there are $($disks.Count) disks and not one")
    }
    $disk = Get-VHD -Path $disks[0].FullName
    $right = "$($disk.VhdFormat)" -eq 'VHDX' -and "$($disk.VhdType)" -eq 'Dynamic' -and $disk.Size -eq $Build.DiskMiB * $MiB
    if (-not $right -or -not (Test-VHD -Path $disk.Path)) {
        Stop-Here $Failed (Select-Text `
            "el disco $($disk.Path) no es un VHDX dinámico sano de $($Build.DiskMiB) MiB" `
            "the disk $($disk.Path) is no sound dynamic VHDX of $($Build.DiskMiB) MiB")
    }
    if ($disk.FileSize -lt $LeastBytes) {
        Stop-Here $Failed (Select-Text `
            "el disco $($disk.Path) está casi vacío: la instalación no terminó" `
            "the disk $($disk.Path) is nearly empty: the installation did not end")
    }
    $disk.Path
}

function Complete-Build($Tool, $Build, [string] $Folder) {
    $leaf = "$($Build.Name).vhdx"
    $disk = Join-Path -Path $Folder -ChildPath $leaf
    Move-Item -LiteralPath (Assert-Result $Build $Folder) -Destination $disk
    foreach ($rest in 'packer', 'cache', 'valores.json') {
        $path = Join-Path -Path $Folder -ChildPath $rest
        if (Test-Path -LiteralPath $path) { Remove-Item -LiteralPath $path -Recurse -Force }
    }
    $digest = (Get-FileHash -LiteralPath $disk -Algorithm SHA256).Hash.ToLowerInvariant()
    $manifest = @{
        image = $Build.Name; verification = $null; notice = $Build.Notice; generation = $Generation
        medium = @{ name = (Split-Path -Path $Build.Medium -Leaf); sha256 = $Build.Sum }
        tools = @{ packer = $Tool.Version; windows = "$([Environment]::OSVersion.Version)" }
        artefacts = @{ $leaf = @{ sha256 = $digest; size = (Get-Item -LiteralPath $disk).Length } }
    }
    Write-Text (Join-Path -Path $Folder -ChildPath 'manifest.json') ($manifest | ConvertTo-Json -Depth 4)
    Write-Text (Join-Path -Path $Folder -ChildPath 'SHA256SUMS') "$digest  $leaf`n"
    $disk
}

try {
    Assert-Host
    $tool = Find-Packer
    $build = Assert-Folder
    $folder = Join-Path -Path (Get-FullPath $Output) -ChildPath $build.Name
    Assert-Place $folder $build.Name
    $what = Select-Text "instalar $($build.Medium) y dejar el disco en $folder" `
        "install $($build.Medium) and leave the disk in $folder"
    if ($PSCmdlet.ShouldProcess($build.Name, $what)) {
        # It was confirmed as a whole: the steps of it ask nothing.
        $ConfirmPreference = 'None'
        New-Item -ItemType Directory -Path $folder | Out-Null
        Invoke-Packer $tool $build $folder
        Complete-Build $tool $build $folder
        if ($build.Notice) { Write-Warning -Message $build.Notice }
        Write-Warning -Message (Select-Text `
            'nadie ha mirado los controles de este disco: hágalo con forja verify antes de usarlo' `
            'nobody has looked at the controls of this disk: do so with forja verify before it is used')
    }
} catch {
    $code = $_.Exception.Data['ExitCode']
    if (-not $code) { $code = $Failed }
    [Console]::Error.WriteLine("Start-ForjaBuild: error: $($_.Exception.Message)")
    exit $code
}
exit 0
