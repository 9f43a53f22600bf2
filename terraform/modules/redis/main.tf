# The hot state: one Redis, not clustered, which never throws a key out. Three kinds; the outputs are alike for all.

locals {
  size = var.size != "" ? var.size : { valkey = "HIGHMEM_MEDIUM", redis = "5", vm = "n2-highmem-2" }[var.kind]
}

# --- Memorystore for Valkey: TLS, and the machines' identity as login

resource "google_memorystore_instance" "this" {
  count = var.kind == "valkey" ? 1 : 0

  instance_id                 = var.name
  location                    = var.region
  mode                        = "CLUSTER_DISABLED"
  shard_count                 = 1
  replica_count               = var.replicas
  node_type                   = local.size
  engine_version              = "VALKEY_8_0"
  authorization_mode          = "IAM_AUTH"
  transit_encryption_mode     = "SERVER_AUTHENTICATION"
  server_ca_mode              = "GOOGLE_MANAGED_PER_INSTANCE_CA"
  deletion_protection_enabled = var.deletion_protection

  engine_configs = {
    maxmemory-policy = "noeviction"
  }

  desired_auto_created_endpoints {
    network    = var.network
    project_id = var.project
  }

  persistence_config {
    mode = "AOF"
    aof_config {
      append_fsync = "EVERY_SEC"
    }
  }

  zone_distribution_config {
    mode = "MULTI_ZONE"
  }
}

resource "google_project_iam_member" "connect" {
  for_each = var.kind == "valkey" ? toset(["coordinator", "workers"]) : toset([])

  project = var.project
  role    = "roles/memorystore.dbConnectionUser"
  member  = var.members[each.value]

  condition {
    title       = "fdist-redis"
    description = "This instance alone"
    expression  = "resource.name == \"projects/${var.project}/locations/${var.region}/instances/${var.name}\""
  }
}

# --- Memorystore for Redis: TLS and a password, which Terraform's state contains

resource "google_redis_instance" "this" {
  count = var.kind == "redis" ? 1 : 0

  name                    = var.name
  region                  = var.region
  redis_version           = "REDIS_7_2"
  tier                    = var.replicas > 0 ? "STANDARD_HA" : "BASIC"
  memory_size_gb          = tonumber(local.size)
  authorized_network      = var.network
  connect_mode            = "PRIVATE_SERVICE_ACCESS"
  auth_enabled            = true
  transit_encryption_mode = "SERVER_AUTHENTICATION"
  deletion_protection     = var.deletion_protection

  redis_configs = {
    maxmemory-policy = "noeviction"
  }

  persistence_config {
    persistence_mode    = "RDB"
    rdb_snapshot_period = "ONE_HOUR"
  }
}

resource "google_secret_manager_secret_version" "password" {
  count = var.kind == "redis" ? 1 : 0

  secret      = "projects/${var.project}/secrets/${var.password_secret}"
  secret_data = google_redis_instance.this[0].auth_string
}

# --- a machine of its own: Debian's Redis with TLS, users and a certificate that it makes itself

resource "google_compute_disk" "this" {
  count = var.kind == "vm" ? 1 : 0

  name = "${var.name}-redis"
  type = "pd-ssd"
  zone = var.zone
  size = 50
}

resource "google_compute_instance" "this" {
  count = var.kind == "vm" ? 1 : 0

  name                = "${var.name}-redis"
  machine_type        = local.size
  zone                = var.zone
  deletion_protection = var.deletion_protection

  boot_disk {
    initialize_params {
      image = var.machine.image
      size  = 20
    }
  }

  attached_disk {
    source      = google_compute_disk.this[0].id
    device_name = "fdist-redis"
  }

  network_interface {
    subnetwork = var.machine.subnet
    nic_type   = "GVNIC"
  }

  service_account {
    email  = var.machine.account
    scopes = ["cloud-platform"]
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  metadata = merge(var.machine.metadata, {
    startup-script = var.machine.startup_script
    fdist-secrets  = "password=${var.user_secrets["redis-password"]}\nagents-password=${var.user_secrets["redis-agents-password"]}\ncoordinator-password=${var.user_secrets["redis-coordinator-password"]}\ncertificate=${var.certificate_secret}"
    fdist-users    = replace(var.users, "@cell@", var.name)
  })
}
