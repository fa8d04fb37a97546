# The same medium on a Windows host with Hyper-V. In a file of its own: with variables.pkr.hcl it is all that
# Start-ForjaBuild.ps1 needs there, and the plugin for QEMU is not. What is said here is known to Packer 1.6.6 and to
# the plugin hyperv 1.1. Checkpoints need no word: Packer makes none, and switches automatic ones off.

source "hyperv-iso" "image" {
  iso_url      = var.medium
  iso_checksum = "sha256:${var.medium_sha256}"

  # Nobody logs in and nothing is typed, served or plugged in besides the medium.
  communicator         = "none"
  boot_command         = []
  guest_additions_mode = "none" # else the host's vmguest.iso is attached where there is one: on 2012 R2

  generation            = var.hyperv.generation
  switch_name           = var.hyperv.switch
  vlan_id               = var.hyperv.vlan
  enable_secure_boot    = var.hyperv.secure_boot
  secure_boot_template  = var.hyperv.secure_boot_template
  enable_dynamic_memory = false
  cpus                  = var.cpus
  memory                = var.memory_mib
  headless              = true

  # Blocks of 1 MiB, as Microsoft asks for ext4 and xfs. The disk is what is wanted, not an exported machine.
  disk_size        = var.disk_mib
  disk_block_size  = 1
  temp_path        = var.hyperv.work
  skip_export      = true
  keep_registered  = false
  output_directory = var.output
  vm_name          = var.name
}

# With no communicator and no shutdown_command this builder switches the machine off as soon as provisioning is over,
# and `disable_shutdown` is not known to 1.6.6: the one provisioner waits on the host for the installer to switch it off.
build {
  name    = "forja"
  sources = ["source.hyperv-iso.image"]

  provisioner "shell-local" {
    timeout = var.time_limit
    inline  = ["# not used: what follows runs instead"]
    execute_command = ["powershell.exe", "-NoProfile", "-NonInteractive", "-Command", <<-END
      while ($vm = Hyper-V\Get-VM -Name '${var.name}' -ErrorAction SilentlyContinue) {
        if ($vm.State -eq 'Off') { exit 0 }
        Start-Sleep -Seconds 5
      }
      exit 1
      END
    ]
  }
}
