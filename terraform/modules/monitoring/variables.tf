variable "name" {
  description = "What the names of the alerts begin with."
  type        = string
}

variable "rules" {
  description = "Alert rules as Prometheus reads them, in YAML."
  type        = string
}

variable "runbook" {
  description = "What to do at each alert, in Markdown: a section for each, with the alert's name as its heading."
  type        = string
}

variable "runbook_url" {
  description = "Address at which people read that, or nothing."
  type        = string
}

variable "emails" {
  description = "Addresses that get alerts."
  type        = list(string)
}
