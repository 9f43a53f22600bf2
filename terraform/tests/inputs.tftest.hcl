# What is refused, by the name of the variable at fault. A run plans the whole installation, so each has many faults.

variables {
  project           = "example-project"
  package           = "fdist-0.1.0-0123456789ab.tar.gz"
  database_password = "a-password-for-tests-that-is-long-enough"
}

run "what_has_the_wrong_form" {
  command = plan
  variables {
    project                  = "Example_Project"
    name                     = "a-name-that-is-too-long"
    region                   = "Iowa"
    labels                   = { Team = "ml" }
    package                  = "fdist.zip"
    bucket                   = "gs://example-weights/llama/"
    subnet_range             = "8.8.0.0/16"
    operators                = ["somebody"]
    machine_type             = "large"
    coordinator_machine_type = "large"
    node_labels              = { model = "two words" }
    redis                    = "cluster"
    database_tier            = "large"
    database_password        = "secret"
    alert_emails             = ["on call"]
    runbook_url              = "docs/runbook.md"
  }
  expect_failures = [
    var.project, var.name, var.region, var.labels, var.package, var.bucket, var.subnet_range, var.operators,
    var.machine_type, var.coordinator_machine_type, var.node_labels, var.redis, var.database_tier, var.database_password,
    var.alert_emails, var.runbook_url,
  ]
}

run "what_is_too_small" {
  command = plan
  variables {
    zones             = []
    mtu               = 1000
    num_servers       = 0
    local_ssds        = -1
    data_disk_gb      = 5
    preemption_notice = 10
    redis_replicas    = -1
    password_version  = 0
    autoscaling       = { min = 5, max = 4 }
  }
  expect_failures = [
    var.zones, var.mtu, var.num_servers, var.local_ssds, var.data_disk_gb, var.preemption_notice, var.redis_replicas,
    var.password_version, var.autoscaling,
  ]
}

run "what_is_too_large" {
  command = plan
  variables {
    mtu               = 9000
    num_servers       = 2001
    local_ssds        = 9
    preemption_notice = 300
    redis_replicas    = 2
    autoscaling       = { min = 1, max = 3, target_cpu = 60 }
  }
  expect_failures = [
    var.mtu, var.num_servers, var.local_ssds, var.preemption_notice, var.redis_replicas, var.autoscaling,
  ]
}

run "what_does_not_go_together" {
  command = plan
  variables {
    zones             = ["us-central1-a", "us-central1-b"]
    compact_placement = true
    redis             = "redis"
    redis_size        = "HIGHMEM_MEDIUM"
    node_labels       = { zone = "here" }
  }
  expect_failures = [var.compact_placement, var.redis_size, var.node_labels]
}

run "zones_of_another_region" {
  command = plan
  variables {
    region = "europe-west4"
    zones  = ["europe-west4-a", "us-central1-b"]
  }
  expect_failures = [var.zones]
}

run "disks_that_a_machine_type_brings_itself" {
  command = plan
  variables {
    machine_type = "c3-standard-44-lssd"
  }
  expect_failures = [var.local_ssds]
}

run "fewer_disks_than_a_large_machine_takes" {
  command = plan
  variables {
    machine_type = "n2-standard-48"
    local_ssds   = 4
  }
  expect_failures = [var.local_ssds]
}

run "a_number_of_disks_that_no_n2_takes" {
  command = plan
  variables {
    machine_type = "n2-standard-8"
    local_ssds   = 6
  }
  expect_failures = [var.local_ssds]
}
