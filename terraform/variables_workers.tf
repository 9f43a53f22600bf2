# The workers; everything else is in variables.tf.

variable "num_servers" {
  description = "Number of workers. With autoscaling, its min and max count instead."
  type        = number
  default     = 3

  validation {
    condition     = var.num_servers >= 1 && var.num_servers <= 2000 && floor(var.num_servers) == var.num_servers
    error_message = "num_servers: ${var.num_servers} is no whole number from 1 to 2000, which is what one instance group takes."
  }
}

variable "machine_type" {
  description = "Machine type of the workers; docs/gcp.md has a sizing guide."
  type        = string
  default     = "n2-standard-16"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*-[a-z0-9-]+$", var.machine_type))
    error_message = "machine_type: \"${var.machine_type}\" is no machine type, such as n2-standard-16."
  }
}

variable "tier_1_networking" {
  description = "Whether workers have Tier_1 networking: up to 200 Gbit/s for large machines, at a price."
  type        = bool
  default     = false
}

variable "local_ssds" {
  description = "Local NVMe SSDs of 375 GiB on each worker, as one disk for the data. 0 for machine types that bring their own (-lssd, a3), or with data_disk_gb."
  type        = number
  default     = 4

  validation {
    condition     = contains([0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 24, 32], var.local_ssds)
    error_message = "local_ssds: ${var.local_ssds} is not 0 to 8, 16, 24 or 32."
  }

  # https://cloud.google.com/compute/docs/disks/local-ssd#lssd_disk_options: without these a plan is good, and no machine starts.
  validation {
    condition     = var.local_ssds == 0 || !can(regex("^(a3|a4x?|c3d?|c4[adn]?|e2|h3|h4d|n4[ad]?|t2[ad]|z3)-", var.machine_type))
    error_message = "local_ssds: ${var.machine_type} takes none: it has those of its type (-lssd, a3, z3) or none at all. Set local_ssds = 0, and data_disk_gb where it has none."
  }

  validation {
    condition = var.local_ssds == 0 || try(
      var.local_ssds >= pow(2, length([for most in [10, 20, 40, 80] : most if tonumber(regex("^n2-[a-z]+-([0-9]+)$", var.machine_type)[0]) > most])) &&
      contains([1, 2, 4, 8, 16, 24], var.local_ssds),
      true # another series
    )
    error_message = "local_ssds: ${var.machine_type} takes 1 (2 from 12 vCPUs on, 4 from 22, 8 from 42, 16 from 82), 2, 4, 8, 16 or 24, not ${var.local_ssds}."
  }
}

variable "data_disk_gb" {
  description = "Size in GB of a balanced persistent disk for the data of each worker; 0 for none. Used where there is no local SSD."
  type        = number
  default     = 0

  validation {
    condition     = var.data_disk_gb == 0 || (var.data_disk_gb >= 10 && var.data_disk_gb <= 65536)
    error_message = "data_disk_gb: ${var.data_disk_gb} is neither 0 nor between 10 and 65536."
  }
}

variable "spot" {
  description = "Whether workers are Spot machines: far cheaper, and taken away with short notice."
  type        = bool
  default     = false
}

variable "preemption_notice" {
  description = "Seconds between the notice and the end of a Spot machine."
  type        = number
  default     = 30

  validation {
    condition     = var.preemption_notice >= 30 && var.preemption_notice <= 120
    error_message = "preemption_notice: ${var.preemption_notice} is not between 30 and 120."
  }
}

variable "compact_placement" {
  description = "Whether workers are placed close to each other; one zone only, and at most 1,500."
  type        = bool
  default     = false

  validation {
    condition     = !var.compact_placement || (length(var.zones) == 1 && var.num_servers <= 1500)
    error_message = "compact_placement: works in one zone and with 1500 workers at most."
  }
}

variable "node_labels" {
  description = "Labels by which jobs pick nodes, beside zone, region and machine."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key, value in var.node_labels : can(regex("^[A-Za-z0-9_.-]+$", "${key}${value}"))])
    error_message = "node_labels: keys and values are letters, digits, _, . and -."
  }

  validation {
    condition     = length(setintersection(keys(var.node_labels), ["zone", "region", "machine"])) == 0
    error_message = "node_labels: zone, region and machine are set by each worker itself."
  }
}

variable "autoscaling" {
  description = "Lets the number of workers follow the use of their processors; null for a fixed number."
  type = object({
    min        = number
    max        = number
    target_cpu = optional(number, 0.6)
  })
  default = null

  validation {
    condition     = var.autoscaling == null ? true : var.autoscaling.min >= 1 && var.autoscaling.min <= var.autoscaling.max && var.autoscaling.max <= 2000
    error_message = "autoscaling: needs 1 <= min <= max <= 2000."
  }

  validation {
    condition     = var.autoscaling == null ? true : var.autoscaling.target_cpu > 0 && var.autoscaling.target_cpu <= 1
    error_message = "autoscaling: target_cpu is above 0 and at most 1."
  }
}

variable "peer_tls" {
  description = "Whether workers read from each other by TLS: off, on (they serve by TLS) or required (and read from nobody in plain text). docs/security.md says what it costs, and the order for a fleet that runs."
  type        = string
  default     = "off"

  validation {
    condition     = contains(["off", "on", "required"], var.peer_tls)
    error_message = "peer_tls: \"${var.peer_tls}\" is none of off, on and required."
  }
}
