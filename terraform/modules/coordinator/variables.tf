variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "region" {
  description = "Region of the template."
  type        = string
}

variable "zone" {
  description = "Zone of the machine."
  type        = string
}

variable "machine_type" {
  description = "Machine type."
  type        = string
}

variable "labels" {
  description = "Labels of the machine."
  type        = map(string)
}

variable "web_port" {
  description = "Port of the UI."
  type        = number
}

variable "machine" {
  description = "What the machine is made of."
  type = object({
    image          = string
    subnet         = string
    account        = string
    metadata       = map(string)
    startup_script = string
  })
}

variable "environment" {
  description = "Variables of fdist; {{secret:NAME}} stands for a secret's value."
  type        = map(string)
}

variable "secrets" {
  description = "Ids of the secrets that this machine makes when they have no value yet, by name."
  type        = map(string)
}
