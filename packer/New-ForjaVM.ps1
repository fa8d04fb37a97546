<#
.SYNOPSIS
Makes virtual machines of Hyper-V from a golden VHDX of Forja. / Crea máquinas virtuales de Hyper-V con un VHDX de Forja.

.DESCRIPTION
Works from Windows Server 2012 R2 (PowerShell 4.0) on. The VHDX is used only when its SHA-256 is in the manifest; it is
copied, and stays as it was. Everything is checked before the first machine is made, and a machine that can't be finished
is taken away again with its files. Ends with the exit codes of forja: 0 done, 2 bad input, 4 host not ready, 5 failed.

.PARAMETER Name
Name of the machine: letters, digits, dot, hyphen, underscore.
.PARAMETER Csv
A list of machines instead of -Name: one a row, with a heading of Name, Vhdx, Seed, Switch, Vlan, MemoryMiB, Processors,
Generation, Path (any of them but Name may be missing). Separated by comma or semicolon; an empty cell means what the
parameter of the same name says. Relative paths are relative to the list.
.PARAMETER Vhdx
The golden disk.
.PARAMETER Seed
ISO with the values of this server, made by forja seed. Without it the server starts closed: only the console. With a
fleet's index.csv beside it, it is used only when its SHA-256 is the one there.
.PARAMETER SwitchName
Virtual switch. Without it the machine is not connected.
.PARAMETER Vlan
VLAN of the network adapter, 1 to 4094; 0: none.
.PARAMETER MemoryMiB
Memory, fixed.
.PARAMETER Processors
Virtual processors.
.PARAMETER Generation
1 (BIOS) or 2 (UEFI).
.PARAMETER Path
Folder that gets one folder a machine. Default: where this host keeps its virtual machines.
.PARAMETER Manifest
SHA256SUMS or manifest.json of the image. Default: the one beside the VHDX.
.PARAMETER Differencing
The machine gets a disk of differences over the golden one, which is made read-only, instead of a copy.
.PARAMETER SkipExisting
Leaves out machines that exist already instead of refusing the list: for a list that was interrupted.
.PARAMETER Start
Starts each machine when it is finished.
.PARAMETER Lang
Language of the messages: es or en.

.EXAMPLE
.\New-ForjaVM.ps1 -Name rele01 -Vhdx D:\Forja\clasificado-rhel-8.3.vhdx -Seed D:\Forja\rele01.iso -SwitchName Correo -Vlan 20
.EXAMPLE
.\New-ForjaVM.ps1 -Csv D:\Forja\flota.csv -Vhdx D:\Forja\clasificado-rhel-8.3.vhdx -SwitchName Correo -WhatIf
#>
#requires -Version 4.0
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'Medium', DefaultParameterSetName = 'One')]
param(
    [Parameter(Mandatory = $true, ParameterSetName = 'One', Position = 0)]
    [string] $Name,

    [Parameter(Mandatory = $true, ParameterSetName = 'Many')]
    [string] $Csv,

    [string] $Vhdx = '',
    [string] $Seed = '',

    [Alias('Switch')]
    [string] $SwitchName = '',

    [ValidateRange(0, 4094)]
    [int] $Vlan = 0,

    [ValidateRange(1024, 1048576)]
    [int] $MemoryMiB = 4096,

    [ValidateRange(1, 64)]
    [int] $Processors = 2,

    [ValidateRange(1, 2)]
    [int] $Generation = 2,

    [string] $Path = '',
    [string] $Manifest = '',
    [switch] $Differencing,
    [switch] $SkipExisting,
    [switch] $Start,

    [ValidateSet('es', 'en')]
    [string] $Lang = 'es'
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$BadInput = 2
$HostUnready = 4
$Failed = 5
$MiB = 1048576

$Columns = 'Name', 'Vhdx', 'Seed', 'Switch', 'Vlan', 'MemoryMiB', 'Processors', 'Generation', 'Path'
$SecureBootTemplate = 'MicrosoftUEFICertificateAuthority'

# The services' names are in the language of Windows; their identities are not.
$GuestFileCopy = '6C09BB55-D683-4DA0-8931-C9BF705F6480'

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
    # Administrators, and Hyper-V Administrators.
    foreach ($sid in 'S-1-5-32-544', 'S-1-5-32-578') {
        $group = New-Object -TypeName Security.Principal.SecurityIdentifier -ArgumentList $sid
        if ($user.IsInRole($group)) { return }
    }
    Stop-Here $HostUnready (Select-Text `
        'hace falta una consola de administrador, o una cuenta del grupo Administradores de Hyper-V' `
        'run this as administrator, or as a member of Hyper-V Administrators')
}

# A path as a person writes it, relative to a folder; empty stays empty.
function Get-FullPath([string] $Written, [string] $Base) {
    if (-not $Written) { return '' }
    if ($Base -and -not [IO.Path]::IsPathRooted($Written)) { $Written = Join-Path -Path $Base -ChildPath $Written }
    $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Written)
}

# What one machine is to be, with every value in its type.
function New-Wish([string] $Machine) {
    @{
        Name = $Machine; Vhdx = Get-FullPath $Vhdx ''; Seed = Get-FullPath $Seed ''; Switch = $SwitchName; Vlan = $Vlan
        MemoryMiB = $MemoryMiB; Processors = $Processors; Generation = $Generation; Path = Get-FullPath $Path ''
    }
}

function Read-Number([string] $Written, [string] $Column, [int] $Least, [int] $Most, [string] $Where) {
    $number = 0
    if (-not [int]::TryParse($Written, [ref] $number) -or $number -lt $Least -or $number -gt $Most) {
        Stop-Here $BadInput ("${Where}: " + (Select-Text `
            "$Column es '$Written', y debe ser un número de $Least a $Most" `
            "$Column is '$Written', and must be a number from $Least to $Most"))
    }
    $number
}

function Read-List([string] $File) {
    if (-not (Test-Path -LiteralPath $File -PathType Leaf)) {
        Stop-Here $BadInput (Select-Text "no existe la lista $File" "the list $File does not exist")
    }
    $heading = [string] (Get-Content -LiteralPath $File -TotalCount 1)
    $delimiter = if ($heading.Split(';').Count -gt $heading.Split(',').Count) { ';' } else { ',' }
    $rows = @(Import-Csv -LiteralPath $File -Delimiter $delimiter -Encoding UTF8)
    if ($rows.Count -eq 0) {
        Stop-Here $BadInput (Select-Text "la lista $File no tiene ninguna fila" "the list $File has no row")
    }
    $given = @($rows[0].PSObject.Properties | ForEach-Object -Process { $_.Name })
    $unknown = @($given | Where-Object -FilterScript { $Columns -notcontains $_ })
    if ($unknown.Count -gt 0 -or $given -notcontains 'Name') {
        Stop-Here $BadInput ("${File}: " + (Select-Text `
            "las columnas son $($Columns -join ', '), Name obligatoria; sobran: $($unknown -join ', ')" `
            "the columns are $($Columns -join ', '), Name always; not known: $($unknown -join ', ')"))
    }
    $base = Split-Path -Path $File -Parent
    $line = 1
    foreach ($row in $rows) {
        $line++
        $where = "${File}:$line"
        $cells = @{}
        foreach ($column in $given) { $cells[$column] = "$($row.$column)".Trim() }
        $wish = New-Wish $cells['Name']
        foreach ($column in 'Vhdx', 'Seed', 'Path') {
            if ($cells[$column]) { $wish[$column] = Get-FullPath $cells[$column] $base }
        }
        if ($cells['Switch']) { $wish['Switch'] = $cells['Switch'] }
        if ($cells['Vlan']) { $wish['Vlan'] = Read-Number $cells['Vlan'] 'Vlan' 0 4094 $where }
        if ($cells['MemoryMiB']) { $wish['MemoryMiB'] = Read-Number $cells['MemoryMiB'] 'MemoryMiB' 1024 1048576 $where }
        if ($cells['Processors']) { $wish['Processors'] = Read-Number $cells['Processors'] 'Processors' 1 64 $where }
        if ($cells['Generation']) { $wish['Generation'] = Read-Number $cells['Generation'] 'Generation' 1 2 $where }
        $wish
    }
}

# The digests that a manifest gives, or the index of a fleet, by file name.
function Read-Manifest([string] $File) {
    $sums = @{}
    if ([IO.Path]::GetExtension($File) -eq '.json') {
        $artefacts = (Get-Content -LiteralPath $File -Raw -Encoding UTF8 | ConvertFrom-Json).artefacts
        foreach ($entry in $artefacts.PSObject.Properties) { $sums[$entry.Name] = $entry.Value.sha256 }
    } elseif ([IO.Path]::GetExtension($File) -eq '.csv') {
        foreach ($row in Import-Csv -LiteralPath $File -Encoding UTF8) {
            # The index of kickstarts has no such column.
            if ($row.PSObject.Properties['Seed']) { $sums[$row.Seed] = $row.SHA256 }
        }
    } else {
        foreach ($line in Get-Content -LiteralPath $File -Encoding UTF8) {
            if ($line -match '^([0-9A-Fa-f]{64}) [ *](.+)$') { $sums[$Matches[2]] = $Matches[1] }
        }
    }
    $sums
}

function Find-Manifest([string] $Disk) {
    if ($Manifest) { return Get-FullPath $Manifest '' }
    $folder = Split-Path -Path $Disk -Parent
    foreach ($candidate in 'SHA256SUMS', 'manifest.json') {
        $file = Join-Path -Path $folder -ChildPath $candidate
        if (Test-Path -LiteralPath $file -PathType Leaf) { return $file }
    }
    Stop-Here $BadInput (Select-Text `
        "no hay manifiesto junto a ${Disk}: traiga SHA256SUMS o manifest.json, o dígalo con -Manifest" `
        "there is no manifest beside ${Disk}: bring SHA256SUMS or manifest.json, or name it with -Manifest")
}

function Assert-Digest([string] $Item, [string] $Digest, [string] $Source) {
    Write-Verbose -Message "SHA-256: $Item"
    $found = (Get-FileHash -LiteralPath $Item -Algorithm SHA256).Hash
    if ($found -ne $Digest) {
        Stop-Here $BadInput (Select-Text `
            "el SHA-256 de $Item es $found y no el que da ${Source}: vuelva a traer el fichero" `
            "the SHA-256 of $Item is $found and not what $Source gives: bring the file again")
    }
}

# Nothing is made from a disk that the manifest does not vouch for.
function Assert-Disk([string] $Disk) {
    if (-not $Disk) {
        Stop-Here $BadInput (Select-Text 'falta el disco: dígalo con -Vhdx' 'no disk was named: give it with -Vhdx')
    }
    if (-not (Test-Path -LiteralPath $Disk -PathType Leaf)) {
        Stop-Here $BadInput (Select-Text "no existe el disco $Disk" "the disk $Disk does not exist")
    }
    $file = Find-Manifest $Disk
    if (-not (Test-Path -LiteralPath $file -PathType Leaf)) {
        Stop-Here $BadInput (Select-Text "no existe el manifiesto $file" "the manifest $file does not exist")
    }
    $sums = Read-Manifest $file
    $leaf = Split-Path -Path $Disk -Leaf
    if (-not $sums.ContainsKey($leaf)) {
        Stop-Here $BadInput (Select-Text "$leaf no figura en $file" "$leaf is not in $file")
    }
    Assert-Digest $Disk $sums[$leaf] $file
}

# Hyper-V answers 0xC03A001A to a disk that NTFS compresses, encrypts, or keeps with holes.
function Assert-Plain([string] $Item) {
    $flags = [int] (Get-Item -LiteralPath $Item -Force).Attributes
    $wrong = [int] [IO.FileAttributes] 'Compressed, Encrypted, SparseFile'
    if (($flags -band $wrong) -ne 0) {
        Stop-Here $BadInput (Select-Text `
            "$Item está comprimido, cifrado o disperso en NTFS, y Hyper-V no lo admite: compact /u, cipher /d, fsutil sparse setflag FILE 0" `
            "$Item is compressed, encrypted or sparse in NTFS, which Hyper-V refuses: compact /u, cipher /d, fsutil sparse setflag FILE 0")
    }
}

# Everything that can be known before the first machine is made.
function Assert-Wishes($Wishes) {
    $names = @{}
    $folders = @{}
    $indexes = @{}
    foreach ($wish in $Wishes) {
        $machine = $wish['Name']
        if ($machine -notmatch '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$') {
            Stop-Here $BadInput (Select-Text `
                "'$machine' no sirve de nombre: letras, cifras, punto, guion y subrayado, hasta 100" `
                "'$machine' can't be a name: letters, digits, dot, hyphen and underscore, up to 100")
        }
        if ($names.ContainsKey($machine)) {
            Stop-Here $BadInput (Select-Text "$machine está dos veces en la lista" "$machine is in the list twice")
        }
        $names[$machine] = $true
        $wish['Exists'] = [bool] (Get-VM -Name $machine -ErrorAction SilentlyContinue)
        if ($wish['Exists']) {
            if ($SkipExisting) { continue }
            Stop-Here $BadInput (Select-Text `
                "ya hay una máquina llamada ${machine}: elija otro nombre, o -SkipExisting para dejarla como está" `
                "there is a machine called $machine already: choose another name, or -SkipExisting to leave it as it is")
        }
        if (-not $wish['Path']) { $wish['Path'] = (Get-VMHost).VirtualMachinePath }
        $wish['Folder'] = Join-Path -Path $wish['Path'] -ChildPath $machine
        if ($folders.ContainsKey($wish['Folder']) -or (Test-Path -LiteralPath $wish['Folder'])) {
            Stop-Here $BadInput (Select-Text `
                "la carpeta $($wish['Folder']) ya existe: no es de una máquina nueva" `
                "the folder $($wish['Folder']) exists already: it is not a new machine's")
        }
        $folders[$wish['Folder']] = $true
        # What is made in a folder takes after it.
        if (Test-Path -LiteralPath $wish['Path']) { Assert-Plain $wish['Path'] }
        if ($wish['Seed'] -and -not (Test-Path -LiteralPath $wish['Seed'] -PathType Leaf)) {
            Stop-Here $BadInput (Select-Text `
                "no existe la semilla $($wish['Seed']) de $machine" "the seed $($wish['Seed']) of $machine does not exist")
        }
        if ($wish['Seed']) {
            $index = Join-Path -Path (Split-Path -Path $wish['Seed'] -Parent) -ChildPath 'index.csv'
            if (-not $indexes.ContainsKey($index)) {
                $there = Test-Path -LiteralPath $index -PathType Leaf
                $indexes[$index] = if ($there) { Read-Manifest $index } else { @{} }
            }
            $leaf = Split-Path -Path $wish['Seed'] -Leaf
            if ($indexes[$index].ContainsKey($leaf)) { Assert-Digest $wish['Seed'] $indexes[$index][$leaf] $index }
        }
        if ($wish['Switch'] -and -not (Get-VMSwitch -Name $wish['Switch'] -ErrorAction SilentlyContinue)) {
            Stop-Here $BadInput (Select-Text `
                "este equipo no tiene el conmutador '$($wish['Switch'])' ($machine): véalos con Get-VMSwitch" `
                "this host has no switch '$($wish['Switch'])' ($machine): Get-VMSwitch lists them")
        }
        if ($wish['Vlan'] -gt 0 -and -not $wish['Switch']) {
            Stop-Here $BadInput (Select-Text "$machine tiene VLAN y no conmutador" "$machine has a VLAN and no switch")
        }
    }
    # Last, since it takes longest; each disk once.
    $seen = @{}
    foreach ($wish in $Wishes) {
        if (-not $wish['Exists'] -and -not $seen.ContainsKey($wish['Vhdx'])) {
            Assert-Disk $wish['Vhdx']
            $seen[$wish['Vhdx']] = $true
        }
    }
}

function New-Disk($Wish, [string] $Target) {
    if ($Differencing) {
        # A parent that changed would destroy every disk over it.
        Assert-Plain $Wish['Vhdx']
        Set-ItemProperty -LiteralPath $Wish['Vhdx'] -Name IsReadOnly -Value $true
        New-VHD -Path $Target -ParentPath $Wish['Vhdx'] -Differencing | Out-Null
        return
    }
    Copy-Item -LiteralPath $Wish['Vhdx'] -Destination $Target
    if ((Get-Item -LiteralPath $Target).Length -ne (Get-Item -LiteralPath $Wish['Vhdx']).Length) {
        Stop-Here $Failed (Select-Text "la copia $Target no está completa" "the copy $Target is not whole")
    }
    Set-ItemProperty -LiteralPath $Target -Name IsReadOnly -Value $false
    Assert-Plain $Target
}

function Set-Firmware($Machine) {
    if (Test-Parameter 'Set-VMFirmware' 'SecureBootTemplate') {
        Set-VMFirmware -VM $Machine -EnableSecureBoot On -SecureBootTemplate $SecureBootTemplate
    } else {
        # Windows Server 2012 R2 knows Windows' own certificate only: with it, Linux would not start.
        Set-VMFirmware -VM $Machine -EnableSecureBoot Off
    }
    Set-VMFirmware -VM $Machine -FirstBootDevice (Get-VMHardDiskDrive -VM $Machine)
}

function Set-Services($Machine) {
    foreach ($service in Get-VMIntegrationService -VM $Machine) {
        if ($service.Id -like "*$GuestFileCopy") {
            Disable-VMIntegrationService -VMIntegrationService $service
        } else {
            Enable-VMIntegrationService -VMIntegrationService $service
        }
    }
}

# A checkpoint would hold the queue, and the keys, of another day.
function Set-Checkpoints($Machine) {
    if (Test-Parameter 'Set-VM' 'CheckpointType') {
        Set-VM -VM $Machine -CheckpointType Disabled
    }
    if (Test-Parameter 'Set-VM' 'AutomaticCheckpointsEnabled') {
        Set-VM -VM $Machine -AutomaticCheckpointsEnabled $false
    }
}

function Add-Seed($Machine, [string] $Image) {
    # Generation 1 is made with an empty drive, generation 2 without any.
    $drive = @(Get-VMDvdDrive -VMName $Machine.Name)
    if ($drive.Count -eq 0) {
        Add-VMDvdDrive -VM $Machine -Path $Image
    } else {
        Set-VMDvdDrive -VMName $Machine.Name -ControllerNumber $drive[0].ControllerNumber `
            -ControllerLocation $drive[0].ControllerLocation -Path $Image
    }
}

function Remove-HalfMade($Machine, [string] $Folder) {
    if ($Machine) {
        if ("$($Machine.State)" -ne 'Off') { Stop-VM -VM $Machine -TurnOff -Force }
        Remove-VM -VM $Machine -Force
    }
    if (Test-Path -LiteralPath $Folder) { Remove-Item -LiteralPath $Folder -Recurse -Force }
}

function New-Machine($Wish) {
    # It was confirmed as a whole: the steps of it ask nothing.
    $ConfirmPreference = 'None'
    $made = $null
    $ready = $false
    try {
        New-Item -ItemType Directory -Path $Wish['Folder'] | Out-Null
        $disk = Join-Path -Path $Wish['Folder'] -ChildPath "$($Wish['Name']).vhdx"
        New-Disk $Wish $disk
        $made = New-VM -Name $Wish['Name'] -Generation $Wish['Generation'] -Path $Wish['Path'] -VHDPath $disk `
            -MemoryStartupBytes ($Wish['MemoryMiB'] * $MiB)
        Set-VMMemory -VM $made -DynamicMemoryEnabled $false -StartupBytes ($Wish['MemoryMiB'] * $MiB)
        Set-VMProcessor -VM $made -Count $Wish['Processors']
        if ($Wish['Switch']) { Connect-VMNetworkAdapter -VMName $Wish['Name'] -SwitchName $Wish['Switch'] }
        if ($Wish['Vlan'] -gt 0) { Set-VMNetworkAdapterVlan -VM $made -Access -VlanId $Wish['Vlan'] }
        if ($Wish['Generation'] -eq 2) { Set-Firmware $made }
        Set-Services $made
        Set-Checkpoints $made
        # One that was stopped on purpose stays stopped when the host starts again.
        Set-VM -VM $made -AutomaticStartAction StartIfRunning -AutomaticStopAction ShutDown
        if ($Wish['Seed']) { Add-Seed $made $Wish['Seed'] }
        if ($Start) { Start-VM -VM $made }
        $ready = $true
    } finally {
        # Also when it is interrupted.
        if (-not $ready) { Remove-HalfMade $made $Wish['Folder'] }
    }
    $secure = if ($Wish['Generation'] -eq 2) { "$((Get-VMFirmware -VM $made).SecureBoot)" } else { '-' }
    New-Object -TypeName PSObject -Property @{
        Name = $Wish['Name']; Generation = $Wish['Generation']; SecureBoot = $secure; Seed = $Wish['Seed']; Disk = $disk
        State = "$((Get-VM -Name $Wish['Name']).State)"
    } | Select-Object -Property 'Name', 'State', 'Generation', 'SecureBoot', 'Disk', 'Seed'
}

try {
    Assert-Host
    if ($PSCmdlet.ParameterSetName -eq 'Many') {
        $wishes = @(Read-List (Get-FullPath $Csv ''))
    } else {
        $wishes = @(New-Wish $Name)
    }
    Assert-Wishes $wishes
    if (-not (Test-Parameter 'Set-VM' 'CheckpointType')) {
        Write-Warning -Message (Select-Text `
            'este Hyper-V (2012 R2) no tiene arranque seguro para Linux ni deja prohibir los puntos de control: no los haga' `
            'this Hyper-V (2012 R2) has no secure boot for Linux and can''t forbid checkpoints: make none')
    }
    $number = 0
    foreach ($wish in $wishes) {
        $number++
        if ($wish['Exists']) {
            Write-Warning -Message (Select-Text "$($wish['Name']) ya existe: no se toca" "$($wish['Name']) exists: left as it is")
            continue
        }
        Write-Progress -Activity 'Forja' -Status $wish['Name'] -PercentComplete (100 * ($number - 1) / $wishes.Count)
        $what = Select-Text "crear la máquina en $($wish['Folder'])" "make the machine in $($wish['Folder'])"
        if ($PSCmdlet.ShouldProcess($wish['Name'], $what)) {
            New-Machine $wish
        }
    }
} catch {
    $code = $_.Exception.Data['ExitCode']
    if (-not $code) { $code = $Failed }
    [Console]::Error.WriteLine("New-ForjaVM: error: $($_.Exception.Message)")
    exit $code
}
exit 0
