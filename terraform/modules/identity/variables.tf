variable "project" {
  description = "Project in which roles are given."
  type        = string
}

variable "name" {
  description = "What the names of the service accounts begin with."
  type        = string
}

variable "redis_machine" {
  description = "Whether there is a machine with Redis."
  type        = bool
}

variable "operators" {
  description = "Who may open IAP tunnels and log in."
  type        = list(string)
}

variable "web_port" {
  description = "Port of the UI."
  type        = number
}
