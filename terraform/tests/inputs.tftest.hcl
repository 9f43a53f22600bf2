# What is refused, by the name of the variable at fault.

variables {
  project           = "example-project"
  package           = "fdist-0.1.0-0123456789ab.tar.gz"
  database_password = "a-password-for-tests-that-is-long-enough"
}

run "project_ids_have_a_form" {
  command = plan
  variables {
    project = "Example_Project"
  }
  expect_failures = [var.project]
}

run "names_fit_into_the_names_of_service_accounts" {
  command = plan
  variables {
    name = "a-name-that-is-too-long"
  }
  expect_failures = [var.name]
}

run "zones_are_in_the_region" {
  command = plan
  variables {
    region = "europe-west4"
    zones  = ["us-central1-b"]
  }
  expect_failures = [var.zones]
}

run "the_package_is_one_that_make_package_made" {
  command = plan
  variables {
    package = "fdist.zip"
  }
  expect_failures = [var.package]
}

run "a_bucket_is_named_without_its_scheme" {
  command = plan
  variables {
    bucket = "gs://example-weights/llama/"
  }
  expect_failures = [var.bucket]
}

run "machines_have_private_addresses" {
  command = plan
  variables {
    subnet_range = "8.8.0.0/16"
  }
  expect_failures = [var.subnet_range]
}

run "a_packet_is_no_larger_than_the_network_carries" {
  command = plan
  variables {
    mtu = 9000
  }
  expect_failures = [var.mtu]
}

run "there_is_a_worker_at_least" {
  command = plan
  variables {
    num_servers = 0
  }
  expect_failures = [var.num_servers]
}

run "a_group_takes_2000_machines" {
  command = plan
  variables {
    num_servers = 2001
  }
  expect_failures = [var.num_servers]
}

run "workers_name_their_own_zone" {
  command = plan
  variables {
    node_labels = { zone = "here" }
  }
  expect_failures = [var.node_labels]
}

run "close_machines_are_in_one_zone" {
  command = plan
  variables {
    zones             = ["us-central1-a", "us-central1-b"]
    compact_placement = true
  }
  expect_failures = [var.compact_placement]
}

run "autoscaling_has_bounds_in_order" {
  command = plan
  variables {
    autoscaling = { min = 5, max = 4 }
  }
  expect_failures = [var.autoscaling]
}

run "redis_is_one_of_three_kinds" {
  command = plan
  variables {
    redis = "cluster"
  }
  expect_failures = [var.redis]
}

run "the_size_of_redis_goes_with_its_kind" {
  command = plan
  variables {
    redis      = "redis"
    redis_size = "HIGHMEM_MEDIUM"
  }
  expect_failures = [var.redis_size]
}

run "a_short_password_is_refused" {
  command = plan
  variables {
    database_password = "secret"
  }
  expect_failures = [var.database_password]
}

