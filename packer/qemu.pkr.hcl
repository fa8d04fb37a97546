# From the medium to a disk. The medium installs by itself: nothing is typed, nothing is served, nobody logs in.
# With no communicator there is no build credential that could stay in the image; the installer switches the
# machine off when it is done. Written for Packer 1.6.6 and later: `packer { required_plugins }` is newer and left
# out; from 1.10 on, the plugins qemu and hyperv are installed once with `packer plugins install`.

source "qemu" "image" {
  iso_url          = var.medium
  iso_checksum     = "sha256:${var.medium_sha256}"
  communicator     = "none"
  shutdown_timeout = var.time_limit

  qemu_binary  = var.qemu.binary
  machine_type = var.qemu.machine
  accelerator  = var.qemu.accelerator
  qemuargs     = var.qemu.arguments
  cpus         = var.cpus
  memory       = var.memory_mib
  headless     = true

  disk_size        = "${var.disk_mib}M"
  disk_interface   = "virtio"
  disk_cache       = "unsafe"
  disk_discard     = "unmap"
  format           = "qcow2"
  net_device       = "virtio-net"
  output_directory = var.output
  vm_name          = "${var.name}.qcow2"
}

build {
  name    = "forja"
  sources = ["source.qemu.image"]
}
