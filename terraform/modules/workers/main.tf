# The fleet: a regional group of alike machines, each with an agent and its shard server.

resource "google_compute_health_check" "this" {
  name                = "${var.name}-workers"
  check_interval_sec  = 30
  timeout_sec         = 5
  healthy_threshold   = 1
  unhealthy_threshold = 10 # five minutes: a machine that is replaced loses its data

  tcp_health_check {
    port = var.shard_port
  }

  log_config {
    enable = true
  }
}

resource "google_compute_resource_policy" "compact" {
  count = var.compact_placement ? 1 : 0

  name   = "${var.name}-workers"
  region = var.region

  group_placement_policy {
    collocation = "COLLOCATED"
  }
}

resource "google_compute_region_instance_template" "this" {
  name_prefix       = "${var.name}-worker-"
  region            = var.region
  machine_type      = var.machine_type
  labels            = var.labels
  resource_policies = google_compute_resource_policy.compact[*].id

  disk {
    source_image = var.machine.image
    boot         = true
    auto_delete  = true
    disk_type    = "pd-balanced"
    disk_size_gb = 30
  }

  dynamic "disk" {
    for_each = range(var.local_ssds)
    content {
      type         = "SCRATCH"
      disk_type    = "local-ssd"
      interface    = "NVME"
      disk_size_gb = 375
      boot         = false
    }
  }

  dynamic "disk" {
    for_each = var.data_disk_gb > 0 ? [var.data_disk_gb] : []
    content {
      device_name  = "fdist-data"
      disk_type    = "pd-balanced"
      disk_size_gb = disk.value
      boot         = false
      auto_delete  = true
    }
  }

  network_interface {
    subnetwork = var.machine.subnet
    nic_type   = "GVNIC"
  }

  dynamic "network_performance_config" {
    for_each = var.tier_1_networking ? [1] : []
    content {
      total_egress_bandwidth_tier = "TIER_1"
    }
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

  scheduling {
    provisioning_model          = var.spot ? "SPOT" : "STANDARD"
    preemptible                 = var.spot
    automatic_restart           = !var.spot
    on_host_maintenance         = var.spot || var.terminate_for_maintenance ? "TERMINATE" : "MIGRATE"
    instance_termination_action = var.spot ? "STOP" : null

    dynamic "preemption_notice_duration" {
      for_each = var.spot && var.preemption_notice > 30 ? [var.preemption_notice] : []
      content {
        seconds = preemption_notice_duration.value
      }
    }
  }

  metadata = merge(var.machine.metadata, {
    startup-script  = var.machine.startup_script
    shutdown-script = var.shutdown_script
    fdist-env       = join("\n", [for key, value in var.environment : "${key}=${value}"])
    fdist-labels    = join(",", [for key, value in var.node_labels : "${key}=${value}"])
    fdist-notice    = var.preemption_notice
  })

  lifecycle {
    create_before_destroy = true

    precondition {
      condition     = var.local_ssds == 0 || var.data_disk_gb == 0
      error_message = "data_disk_gb: is not used beside local SSDs; set local_ssds = 0."
    }
  }
}

resource "google_compute_region_instance_group_manager" "this" {
  name                             = "${var.name}-workers"
  region                           = var.region
  base_instance_name               = "${var.name}-worker"
  target_size                      = var.autoscaling == null ? var.num_servers : null
  distribution_policy_zones        = var.zones
  distribution_policy_target_shape = length(var.zones) > 1 && !var.spot ? "BALANCED" : "ANY"

  version {
    instance_template = google_compute_region_instance_template.this.id
  }

  auto_healing_policies {
    health_check      = google_compute_health_check.this.id
    initial_delay_sec = 900 # installing; proving what is on a full disk
  }

  # A new template is not forced on machines that work: `make upgrade` drains each before it is replaced.
  update_policy {
    type                         = "OPPORTUNISTIC"
    minimal_action               = "REPLACE"
    instance_redistribution_type = "NONE"
    max_surge_fixed              = 0
    max_unavailable_fixed        = length(var.zones)
    replacement_method           = "RECREATE" # a node keeps its name
  }
}

resource "google_compute_region_autoscaler" "this" {
  count = var.autoscaling == null ? 0 : 1

  name   = "${var.name}-workers"
  region = var.region
  target = google_compute_region_instance_group_manager.this.id

  autoscaling_policy {
    min_replicas    = var.autoscaling.min
    max_replicas    = var.autoscaling.max
    cooldown_period = 300

    cpu_utilization {
      target = var.autoscaling.target_cpu
    }

    scale_in_control {
      time_window_sec = 1800
      max_scaled_in_replicas {
        percent = 10 # shards that few nodes have are passed on before the next go
      }
    }
  }
}
