variable "name" {
  description = "What the names of the alerts begin with."
  type        = string
}

variable "rules" {
  description = "Alert rules as Prometheus reads them, in YAML."
  type        = string
}

variable "emails" {
  description = "Addresses that get alerts."
  type        = list(string)
}
