variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "region" {
  description = "Region of the subnet."
  type        = string
}

variable "subnet_range" {
  description = "Addresses of the machines."
  type        = string
}

variable "mtu" {
  description = "Largest packet, in bytes."
  type        = number
}

variable "accounts" {
  description = "Service accounts by role: coordinator, workers and, if it is a machine of ours, redis."
  type        = map(string)
}

variable "ports" {
  description = "TCP ports on which machines listen."
  type = object({
    web    = number
    shards = number
    redis  = number
  })
}
