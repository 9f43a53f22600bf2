# A private network: no machine has a public address. Out by Cloud NAT, in by IAP, between machines by service account.

locals {
  iap_range            = "35.235.240.0/20"
  health_check_ranges  = ["35.191.0.0/16", "130.211.0.0/22"]
  every_machine        = [for account in values(var.accounts) : account]
  machines_that_listen = { for role, port in { coordinator = var.ports.web, workers = var.ports.shards } : role => port }
}

resource "google_compute_network" "this" {
  name                            = var.name
  auto_create_subnetworks         = false
  mtu                             = var.mtu
  routing_mode                    = "REGIONAL"
  delete_default_routes_on_create = false
}

resource "google_compute_subnetwork" "this" {
  name                     = var.name
  network                  = google_compute_network.this.id
  region                   = var.region
  ip_cidr_range            = var.subnet_range
  private_ip_google_access = true # the bucket is reached without NAT
  stack_type               = "IPV4_ONLY"

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.01 # the shards' own flows would cost more than they tell
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_router" "this" {
  name    = var.name
  network = google_compute_network.this.id
  region  = var.region
}

resource "google_compute_router_nat" "this" {
  name                               = var.name
  router                             = google_compute_router.this.name
  region                             = var.region
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.this.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

# --- the managed database's and Redis's own networks, joined to ours

resource "google_compute_global_address" "services" {
  name          = "${var.name}-services"
  network       = google_compute_network.this.id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
}

resource "google_service_networking_connection" "this" {
  network                 = google_compute_network.this.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]
  deletion_policy         = "REMOVE_PEERING" # for days after a database was in it, the API refuses to delete the rest
}

resource "google_network_connectivity_service_connection_policy" "memorystore" {
  name          = "${var.name}-memorystore"
  location      = var.region
  service_class = "gcp-memorystore"
  network       = google_compute_network.this.id

  psc_config {
    subnetworks = [google_compute_subnetwork.this.id]
  }
}

# --- who may connect to what; everything else is refused

resource "google_compute_firewall" "ssh" {
  name                    = "${var.name}-iap-ssh"
  network                 = google_compute_network.this.id
  description             = "SSH by IAP"
  source_ranges           = [local.iap_range]
  target_service_accounts = local.every_machine

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}

resource "google_compute_firewall" "web" {
  name                    = "${var.name}-iap-web"
  network                 = google_compute_network.this.id
  description             = "Pages and API by IAP"
  source_ranges           = [local.iap_range]
  target_service_accounts = [var.accounts.coordinator]

  allow {
    protocol = "tcp"
    ports    = [var.ports.web]
  }
}

resource "google_compute_firewall" "health" {
  for_each = local.machines_that_listen

  name                    = "${var.name}-health-${each.key}"
  network                 = google_compute_network.this.id
  description             = "Health checks of instance groups"
  source_ranges           = local.health_check_ranges
  target_service_accounts = [var.accounts[each.key]]

  allow {
    protocol = "tcp"
    ports    = [each.value]
  }
}

resource "google_compute_firewall" "shards" {
  name                    = "${var.name}-shards"
  network                 = google_compute_network.this.id
  description             = "Shards between workers"
  source_service_accounts = [var.accounts.workers]
  target_service_accounts = [var.accounts.workers]

  allow {
    protocol = "tcp"
    ports    = [var.ports.shards]
  }
}

resource "google_compute_firewall" "redis" {
  count = contains(keys(var.accounts), "redis") ? 1 : 0

  name                    = "${var.name}-redis"
  network                 = google_compute_network.this.id
  description             = "Redis on a machine of its own"
  source_service_accounts = [var.accounts.coordinator, var.accounts.workers]
  target_service_accounts = [var.accounts.redis]

  allow {
    protocol = "tcp"
    ports    = [var.ports.redis]
  }
}
