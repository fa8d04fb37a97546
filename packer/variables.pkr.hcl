# Every value comes from `forja image` or from Start-ForjaBuild.ps1, as a var-file: nothing here decides anything.

variable "name" {
  type        = string
  description = "Name of the image, without suffix."
}

variable "medium" {
  type        = string
  description = "Path of the installation ISO that installs by itself."
}

variable "medium_sha256" {
  type        = string
  description = "SHA-256 of the ISO."
  validation {
    condition     = length(var.medium_sha256) == 64
    error_message = "The SHA-256 of the medium must be 64 hexadecimal digits."
  }
}

variable "output" {
  type        = string
  description = "Folder that Packer makes for the disk; it must not exist."
}

variable "disk_mib" {
  type        = number
  description = "Size of the disk in MiB."
}

variable "memory_mib" {
  type        = number
  default     = 2048
  description = "Memory of the machine that installs, in MiB."
}

variable "cpus" {
  type        = number
  default     = 2
  description = "Processors of the machine that installs."
}

variable "time_limit" {
  type        = string
  default     = "3h"
  description = "The installation ends by switching the machine off; if it has not by then, it failed."
}

variable "qemu" {
  type = object({
    binary      = string
    machine     = string
    accelerator = string
    arguments   = list(list(string))
  })
  default = {
    binary      = "qemu-system-x86_64"
    machine     = "pc"
    accelerator = "kvm"
    arguments   = []
  }
  description = "How this host runs QEMU: program, machine type, accelerator, further arguments."
}

variable "hyperv" {
  type = object({
    generation           = number
    switch               = string
    vlan                 = string
    secure_boot          = bool
    secure_boot_template = string
    work                 = string
  })
  default = {
    generation           = 2
    switch               = "Forja"
    vlan                 = ""
    secure_boot          = false
    secure_boot_template = ""
    work                 = ""
  }
  description = "How a Windows host runs Hyper-V; `work` is a folder for the machine while it installs."
  validation {
    condition     = contains([1, 2], var.hyperv.generation)
    error_message = "A machine of Hyper-V is of generation 1 or 2."
  }
  validation {
    condition     = var.hyperv.secure_boot == false || var.hyperv.generation == 2
    error_message = "Secure boot is of generation 2 only."
  }
  validation {
    condition     = var.hyperv.secure_boot == false || var.hyperv.secure_boot_template == "MicrosoftUEFICertificateAuthority"
    error_message = "The template of secure boot must be MicrosoftUEFICertificateAuthority for Linux to start; where there is none (Windows Server 2012 R2), secure boot is off."
  }
}
