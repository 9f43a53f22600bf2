variable "project" {
  description = "Project of the instance."
  type        = string
}

variable "name" {
  description = "Name of the instance."
  type        = string
}

variable "region" {
  description = "Region of a managed instance."
  type        = string
}

variable "zone" {
  description = "Zone of a machine."
  type        = string
}

variable "network" {
  description = "Network in which a managed instance has its address."
  type        = string
}

variable "kind" {
  description = "valkey, redis or vm."
  type        = string
}

variable "size" {
  description = "Node type, GB or machine type, as the kind has it; empty for one that suits 1,000 workers."
  type        = string
}

variable "replicas" {
  description = "Standby copies of a managed instance."
  type        = number
}

variable "deletion_protection" {
  description = "Whether it refuses to be destroyed."
  type        = bool
}

variable "members" {
  description = "IAM members by role."
  type        = map(string)
}

variable "user_secrets" {
  description = "Secrets by name, of which the kind vm has redis-password, of operators, redis-agents-password and redis-coordinator-password."
  type        = map(string)
}

variable "users" {
  description = "Users of the kind vm, as an aclfile has them; @cell@ stands for the name, @agents-password@ and such for digests."
  type        = string
}

variable "password_secret" {
  description = "Secret with the password, of the kind redis."
  type        = string
}

variable "certificate_secret" {
  description = "Secret with the certificate of the kind vm."
  type        = string
}

variable "machine" {
  description = "What a machine is made of, for the kind vm."
  type = object({
    image          = string
    subnet         = string
    account        = string
    metadata       = map(string)
    startup_script = string
  })
}
