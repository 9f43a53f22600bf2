variable "project" {
  description = "Project of the secret."
  type        = string
}

variable "name" {
  description = "Name of the instance."
  type        = string
}

variable "region" {
  description = "Region of the instance."
  type        = string
}

variable "network" {
  description = "Network in which it has its address."
  type        = string
}

variable "tier" {
  description = "Machine tier."
  type        = string
}

variable "high_availability" {
  description = "Whether it has a standby in another zone."
  type        = bool
}

variable "deletion_protection" {
  description = "Whether it refuses to be destroyed."
  type        = bool
}

variable "password" {
  description = "New password, used when password_version is new."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "password_version" {
  description = "Which password this is."
  type        = number
}

variable "password_secret" {
  description = "Secret that keeps the password."
  type        = string
}
