# The coordinator: a group of one, so that a machine that fails its health check is made anew. It keeps nothing: the
# record is in the database, the schedule in Redis, secrets in Secret Manager.

resource "google_compute_health_check" "this" {
  name                = "${var.name}-coordinator"
  check_interval_sec  = 15
  timeout_sec         = 5
  healthy_threshold   = 1
  unhealthy_threshold = 6

  http_health_check {
    port         = var.web_port
    request_path = "/healthz"
    host         = "localhost" # one of the names under which the site may be asked
  }

  log_config {
    enable = true
  }
}

resource "google_compute_region_instance_template" "this" {
  name_prefix  = "${var.name}-coordinator-"
  region       = var.region
  machine_type = var.machine_type
  labels       = var.labels

  disk {
    source_image = var.machine.image
    boot         = true
    auto_delete  = true
    disk_type    = "pd-balanced"
    disk_size_gb = 30
  }

  network_interface {
    subnetwork = var.machine.subnet
    nic_type   = "GVNIC"
  }

  service_account {
    email  = var.machine.account
    scopes = ["cloud-platform"] # what it may do is said by its roles
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  metadata = merge(var.machine.metadata, {
    startup-script = var.machine.startup_script
    fdist-env      = join("\n", [for key, value in var.environment : "${key}=${value}"])
    fdist-secrets  = join("\n", [for name, id in var.secrets : "${name}=${id}"])
  })

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_instance_group_manager" "this" {
  name               = "${var.name}-coordinator"
  zone               = var.zone
  base_instance_name = "${var.name}-coordinator"
  target_size        = 1

  version {
    instance_template = google_compute_region_instance_template.this.id
  }

  named_port {
    name = "web"
    port = var.web_port
  }

  auto_healing_policies {
    health_check      = google_compute_health_check.this.id
    initial_delay_sec = 600 # installing, migrating
  }

  update_policy {
    type                  = "PROACTIVE"
    minimal_action        = "REPLACE"
    max_surge_fixed       = 1 # two coordinators may run: one of each part works, the other stands by
    max_unavailable_fixed = 0
  }
}
