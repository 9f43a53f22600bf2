variable "project" {
  description = "Project, which makes the buckets' names unique."
  type        = string
}

variable "name" {
  description = "What the names of the buckets begin with."
  type        = string
}

variable "region" {
  description = "Region of the buckets."
  type        = string
}

variable "existing" {
  description = "Name of the bucket with the weights if there is one already, else empty."
  type        = string
}

variable "package" {
  description = "Path of the project's archive."
  type        = string
}

variable "deletion_protection" {
  description = "Whether a bucket with weights that was made here refuses to be destroyed."
  type        = bool
}
