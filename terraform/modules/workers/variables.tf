variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "region" {
  description = "Region of the group."
  type        = string
}

variable "zones" {
  description = "Zones over which it spreads."
  type        = list(string)
}

variable "num_servers" {
  description = "Number of machines, where autoscaling does not say it."
  type        = number
}

variable "autoscaling" {
  description = "Bounds and target of autoscaling; null for a fixed number."
  type = object({
    min        = number
    max        = number
    target_cpu = number
  })
}

variable "machine_type" {
  description = "Machine type."
  type        = string
}

variable "tier_1_networking" {
  description = "Whether machines have Tier_1 networking."
  type        = bool
}

variable "local_ssds" {
  description = "Number of local NVMe SSDs."
  type        = number
}

variable "data_disk_gb" {
  description = "Size of a persistent data disk, 0 for none."
  type        = number
}

variable "spot" {
  description = "Whether machines are Spot machines."
  type        = bool
}

variable "preemption_notice" {
  description = "Seconds between a Spot machine's notice and its end."
  type        = number
}

variable "terminate_for_maintenance" {
  description = "Whether the machine type cannot be migrated while it runs, as those with GPUs."
  type        = bool
}

variable "compact_placement" {
  description = "Whether machines are placed close to each other."
  type        = bool
}

variable "shard_port" {
  description = "Port of the shard server."
  type        = number
}

variable "labels" {
  description = "Labels of the machines."
  type        = map(string)
}

variable "node_labels" {
  description = "Labels by which jobs pick nodes."
  type        = map(string)
}

variable "machine" {
  description = "What a machine is made of."
  type = object({
    image          = string
    subnet         = string
    account        = string
    metadata       = map(string)
    startup_script = string
  })
}

variable "shutdown_script" {
  description = "What a machine runs before it is stopped."
  type        = string
}

variable "environment" {
  description = "Variables of fdist; {{secret:NAME}} stands for a secret's value."
  type        = map(string)
}
