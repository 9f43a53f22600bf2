# A whole installation: network, bucket, Redis, PostgreSQL, a coordinator and a fleet of workers. See ../docs/gcp.md.

locals {
  labels = merge({ app = "fdist", cell = var.name }, var.labels)
  ports  = { web = 8000, shards = 7400, redis = 6379, metrics = 9464 }
  apis = toset([
    "cloudresourcemanager", "compute", "iam", "iap", "logging", "memorystore", "monitoring", "networkconnectivity",
    "redis", "secretmanager", "servicenetworking", "sqladmin", "storage",
  ])

  # Secrets: who reads each, and whose machine makes it at its first start.
  secrets = merge(
    {
      secret-key        = { readers = ["coordinator"], maker = "coordinator" }
      signing-key       = { readers = ["coordinator"], maker = "coordinator" }
      admin-password    = { readers = ["coordinator"], maker = "coordinator" }
      coordinator-key   = { readers = ["coordinator", "workers"], maker = "coordinator" }
      enrolment-key     = { readers = ["coordinator"], maker = "coordinator" }
      metrics-token     = { readers = ["coordinator", "workers"], maker = "coordinator" }
      database-password = { readers = ["coordinator"], maker = null }
    },
    var.redis != "redis" ? {} : {
      redis-password = { readers = ["coordinator", "workers"], maker = null }
    },
    var.redis != "vm" ? {} : {
      redis-password             = { readers = ["redis"], maker = "redis" }
      redis-agents-password      = { readers = ["workers", "redis"], maker = "redis" }
      redis-coordinator-password = { readers = ["coordinator", "redis"], maker = "redis" }
      redis-certificate          = { readers = ["coordinator", "workers", "redis"], maker = "redis" }
    },
  )

  # --- what every machine is told

  scripts = { for name in ["common", "disk", "redis", "coordinator", "worker", "leave"] : name => file("${path.module}/scripts/${name}.sh") }
  metadata = {
    enable-oslogin         = "TRUE"
    block-project-ssh-keys = "TRUE"
    serial-port-enable     = "FALSE"
    fdist-package          = "${module.storage.packages}/${module.storage.package}"
    fdist-redis-ca         = module.redis.certificate
    fdist-ops-agent        = var.ops_agent
  }
  environment = {
    FDIST_CELL          = var.name
    FDIST_GCS_PROJECT   = var.project
    FDIST_LOG_FORMAT    = "json"
    FDIST_METRICS_TOKEN = "{{secret:${module.secrets.ids["metrics-token"]}}}"
  }
}

resource "google_project_service" "api" {
  for_each = local.apis

  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}

module "identity" {
  source     = "./modules/identity"
  depends_on = [google_project_service.api]

  project       = var.project
  name          = var.name
  redis_machine = var.redis == "vm"
  operators     = var.operators
  web_port      = local.ports.web
}

module "network" {
  source     = "./modules/network"
  depends_on = [google_project_service.api]

  name         = var.name
  region       = var.region
  subnet_range = var.subnet_range
  mtu          = var.mtu
  accounts     = module.identity.emails
  ports        = { web = local.ports.web, shards = local.ports.shards, redis = local.ports.redis }
}

module "storage" {
  source     = "./modules/storage"
  depends_on = [google_project_service.api]

  project             = var.project
  name                = var.name
  region              = var.region
  existing            = var.bucket
  package             = var.package
  deletion_protection = var.deletion_protection
}

# Machines read objects of the two buckets and nothing else; nobody here writes to the weights.
resource "google_storage_bucket_iam_member" "reader" {
  for_each = merge(
    { for role in ["coordinator", "workers"] : "weights ${role}" => { bucket = module.storage.weights, role = role } },
    { for role in ["coordinator", "workers"] : "packages ${role}" => { bucket = module.storage.packages, role = role } },
  )

  bucket = each.value.bucket
  role   = "roles/storage.objectViewer"
  member = module.identity.members[each.value.role]
}

module "secrets" {
  source     = "./modules/secrets"
  depends_on = [google_project_service.api]

  name    = var.name
  region  = var.region
  secrets = local.secrets
  members = module.identity.members
}

module "database" {
  source = "./modules/database"

  project             = var.project
  name                = var.name
  region              = var.region
  network             = module.network.network
  tier                = var.database_tier
  high_availability   = var.database_high_availability
  deletion_protection = var.deletion_protection
  password            = var.database_password
  password_version    = var.password_version
  password_secret     = module.secrets.ids["database-password"]
}

module "redis" {
  source = "./modules/redis"

  project             = var.project
  name                = var.name
  region              = var.region
  zone                = var.zones[0]
  network             = module.network.network
  kind                = var.redis
  size                = var.redis_size
  replicas            = var.redis_replicas
  deletion_protection = var.deletion_protection
  members             = module.identity.members
  password_secret     = lookup(module.secrets.ids, "redis-password", "")
  user_secrets        = module.secrets.ids
  users               = file("${path.module}/scripts/users.acl")
  certificate_secret  = lookup(module.secrets.ids, "redis-certificate", "")

  machine = {
    image          = var.image
    subnet         = module.network.subnet
    account        = lookup(module.identity.emails, "redis", "")
    metadata       = { enable-oslogin = "TRUE", block-project-ssh-keys = "TRUE", serial-port-enable = "FALSE" }
    startup_script = join("\n", [local.scripts["common"], local.scripts["disk"], local.scripts["redis"]])
  }
}

module "coordinator" {
  source     = "./modules/coordinator"
  depends_on = [google_storage_bucket_iam_member.reader]

  name         = var.name
  region       = var.region
  zone         = var.zones[0]
  machine_type = var.coordinator_machine_type
  labels       = merge(local.labels, { role = "coordinator" })
  web_port     = local.ports.web

  machine = {
    image          = var.image
    subnet         = module.network.subnet
    account        = module.identity.emails["coordinator"]
    metadata       = merge(local.metadata, { fdist-database-ca = module.database.certificate })
    startup_script = join("\n", [local.scripts["common"], local.scripts["coordinator"]])
  }

  environment = merge(local.environment, module.redis.environment["coordinator"], {
    DATABASE_URL            = module.database.url
    FDIST_SECRET_KEY        = "{{secret:${module.secrets.ids["secret-key"]}}}"
    FDIST_SIGNING_KEY       = "{{secret:${module.secrets.ids["signing-key"]}}}"
    FDIST_IDENTITY_PROJECTS = var.project
    FDIST_IDENTITY_ACCOUNTS = module.identity.emails["workers"]
    FDIST_IDENTITY_ZONES    = "${var.region}-"
  })
  secrets = { for name, rule in local.secrets : name => module.secrets.ids[name] if rule.maker == "coordinator" }
}

module "workers" {
  source     = "./modules/workers"
  depends_on = [google_storage_bucket_iam_member.reader]

  name                      = var.name
  region                    = var.region
  zones                     = var.zones
  num_servers               = var.num_servers
  autoscaling               = var.autoscaling
  machine_type              = var.machine_type
  tier_1_networking         = var.tier_1_networking
  local_ssds                = var.local_ssds
  data_disk_gb              = var.data_disk_gb
  spot                      = var.spot
  preemption_notice         = var.preemption_notice
  terminate_for_maintenance = can(regex("^(a2|a3|a4|g2|g4)-", var.machine_type))
  compact_placement         = var.compact_placement
  shard_port                = local.ports.shards
  labels                    = merge(local.labels, { role = "worker" })
  node_labels               = var.node_labels
  shutdown_script           = local.scripts["leave"]

  machine = {
    image          = var.image
    subnet         = module.network.subnet
    account        = module.identity.emails["workers"]
    metadata       = local.metadata
    startup_script = join("\n", [local.scripts["common"], local.scripts["disk"], local.scripts["worker"]])
  }

  environment = merge(local.environment, module.redis.environment["workers"], {
    FDIST_ENROLMENT       = "google" # by the identity of each machine: no key is handed out
    FDIST_COORDINATOR_KEY = "{{secret:${module.secrets.ids["coordinator-key"]}}}"
    FDIST_PEER_TLS        = var.peer_tls
    FDIST_LISTEN_HOST     = "0.0.0.0"
    FDIST_SHARD_PORT      = local.ports.shards
    FDIST_METRICS_LISTEN  = "127.0.0.1:${local.ports.metrics}"
  })
}

module "monitoring" {
  source     = "./modules/monitoring"
  count      = var.ops_agent ? 1 : 0
  depends_on = [google_project_service.api]

  name        = var.name
  rules       = file("${path.module}/../docs/grafana/alerts.yml")
  runbook     = file("${path.module}/../docs/runbook.md")
  runbook_url = var.runbook_url
  emails      = var.alert_emails
}
