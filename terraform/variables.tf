# --- where

variable "project" {
  description = "Google Cloud project that everything is made in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project: \"${var.project}\" is no project id: 6 to 30 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "name" {
  description = "What the names of all resources begin with, and the name of the cell."
  type        = string
  default     = "fdist"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,14}[a-z0-9]$", var.name))
    error_message = "name: \"${var.name}\" has to be 3 to 16 lower-case letters, digits and hyphens, beginning with a letter: service accounts' names are short."
  }
}

variable "region" {
  description = "Region of everything; the bucket should be in it, too."
  type        = string
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region: \"${var.region}\" is no region, such as us-central1."
  }
}

variable "zones" {
  description = "Zones of the workers; the coordinator is in the first. One zone keeps traffic between workers free of charge."
  type        = list(string)
  default     = ["us-central1-b"]

  validation {
    condition     = length(var.zones) > 0 && alltrue([for zone in var.zones : startswith(zone, "${var.region}-")])
    error_message = "zones: name one zone at least, each of them in region ${var.region}."
  }
}

variable "labels" {
  description = "Labels of every resource, for billing."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "labels: keys and values are lower-case letters, digits, _ and -, at most 63, and a key begins with a letter."
  }
}

variable "deletion_protection" {
  description = "Whether database, Redis and an own bucket refuse to be destroyed."
  type        = bool
  default     = true
}

# --- what runs

variable "package" {
  description = "Archive of the project that the machines run; `make package` makes it."
  type        = string

  validation {
    condition     = can(regex("fdist-[0-9a-z.]+-[0-9a-f]{12}\\.tar\\.gz$", var.package))
    error_message = "package: \"${var.package}\" is no archive of `make package`, such as fdist-0.1.0-0123456789ab.tar.gz."
  }
}

variable "image" {
  description = "Boot image of all machines: Debian 12 or newer, or Ubuntu 24.04 or newer, with Python 3.11 or newer."
  type        = string
  default     = "projects/debian-cloud/global/images/family/debian-12"
}

# --- the bucket with the weights

variable "bucket" {
  description = "Name of an existing bucket with the files to distribute; empty makes one, NAME-weights-PROJECT."
  type        = string
  default     = ""

  validation {
    condition     = var.bucket == "" || can(regex("^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket: \"${var.bucket}\" is no bucket's name; leave gs:// and paths away."
  }
}

# --- network

variable "subnet_range" {
  description = "Addresses of the machines; a /20 is good for 4,000."
  type        = string
  default     = "10.80.0.0/16"

  validation {
    condition     = can(cidrhost(var.subnet_range, 0)) && can(regex("^10\\.|^172\\.|^192\\.168\\.", var.subnet_range))
    error_message = "subnet_range: \"${var.subnet_range}\" is no private range, such as 10.80.0.0/16."
  }
}

variable "mtu" {
  description = "Largest packet in the network, in bytes; 8896 are jumbo frames."
  type        = number
  default     = 8896

  validation {
    condition     = var.mtu >= 1300 && var.mtu <= 8896
    error_message = "mtu: ${var.mtu} is not between 1300 and 8896."
  }
}

variable "operators" {
  description = "Who may open IAP tunnels to the UI and to SSH, such as group:ml-platform@example.org."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.operators : can(regex("^(user|group|serviceAccount|domain):[^:]+$", each))])
    error_message = "operators: each is user:, group:, serviceAccount: or domain: with an address."
  }
}

# --- coordinator, Redis, database

variable "coordinator_machine_type" {
  description = "Machine type of the coordinator."
  type        = string
  default     = "e2-standard-4"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*-[a-z0-9-]+$", var.coordinator_machine_type))
    error_message = "coordinator_machine_type: \"${var.coordinator_machine_type}\" is no machine type, such as e2-standard-4."
  }
}

variable "redis" {
  description = "Kind of Redis. valkey: Memorystore for Valkey, logged in to by the machines' identity. redis: Memorystore for Redis with a password, which is in the state. vm: a machine of its own with Debian's Redis."
  type        = string
  default     = "valkey"

  validation {
    condition     = contains(["valkey", "redis", "vm"], var.redis)
    error_message = "redis: \"${var.redis}\" is none of valkey, redis and vm."
  }
}

variable "redis_size" {
  description = "Node type of Memorystore for Valkey, GB of Memorystore for Redis, or machine type of the VM; empty for a size that suits 1,000 workers."
  type        = string
  default     = ""

  validation {
    condition = var.redis_size == "" || (
      var.redis == "valkey" ? contains(["SHARED_CORE_NANO", "STANDARD_SMALL", "HIGHMEM_MEDIUM", "HIGHMEM_XLARGE"], var.redis_size) :
      var.redis == "redis" ? can(regex("^[1-9][0-9]*$", var.redis_size)) :
      can(regex("^[a-z][a-z0-9]*-[a-z0-9-]+$", var.redis_size))
    )
    error_message = "redis_size: \"${var.redis_size}\" does not go with redis = \"${var.redis}\": valkey takes a node type such as HIGHMEM_MEDIUM, redis a number of GB, vm a machine type."
  }
}

variable "redis_replicas" {
  description = "Standby copies of the managed Redis, 0 or 1; a standby takes over within a minute."
  type        = number
  default     = 1

  validation {
    condition     = contains([0, 1], var.redis_replicas)
    error_message = "redis_replicas: ${var.redis_replicas} is neither 0 nor 1."
  }
}

variable "database_tier" {
  description = "Machine tier of the PostgreSQL."
  type        = string
  default     = "db-custom-2-7680"

  validation {
    condition     = startswith(var.database_tier, "db-")
    error_message = "database_tier: \"${var.database_tier}\" is no tier, such as db-custom-2-7680."
  }
}

variable "database_high_availability" {
  description = "Whether the PostgreSQL has a standby in another zone."
  type        = bool
  default     = false
}

variable "database_password" {
  description = "New password of the database's user; used when password_version is new, and kept in Secret Manager alone. `make deploy` makes one up."
  type        = string
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{32,}$", var.database_password))
    error_message = "database_password: has to be 32 letters, digits, - and _ at least: it becomes a part of an address."
  }
}

variable "password_version" {
  description = "Raise it by one to give the database a new password."
  type        = number
  default     = 1

  validation {
    condition     = var.password_version >= 1 && floor(var.password_version) == var.password_version
    error_message = "password_version: ${var.password_version} is no whole number from 1 on."
  }
}

# --- monitoring

variable "ops_agent" {
  description = "Whether Google's Ops Agent brings logs and metrics of the machines to Cloud Logging and Cloud Monitoring."
  type        = bool
  default     = true
}

variable "alert_emails" {
  description = "Addresses that get alerts, such as on a job that is stuck."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+$", each))])
    error_message = "alert_emails: each is an address, such as oncall@example.org."
  }
}

variable "runbook_url" {
  description = "Address at which your people read docs/runbook.md, such as https://docs.example.org/fdist/runbook.html; alerts link to their sections there. They say what to do without it too."
  type        = string
  default     = ""

  validation {
    condition     = var.runbook_url == "" || can(regex("^https?://[^ #\"]+$", var.runbook_url))
    error_message = "runbook_url: the address of a page, such as https://docs.example.org/fdist/runbook.html, without #."
  }
}
