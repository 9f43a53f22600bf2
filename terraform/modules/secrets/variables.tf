variable "name" {
  description = "What the names of the secrets begin with."
  type        = string
}

variable "region" {
  description = "Region in which they are kept."
  type        = string
}

variable "secrets" {
  description = "Each secret with the roles that read it and the one whose machine makes it, if a machine does."
  type = map(object({
    readers = list(string)
    maker   = optional(string)
  }))
}

variable "members" {
  description = "IAM members by role."
  type        = map(string)
}
