# What is made of the inputs, where a plan can tell.

variables {
  project           = "example-project"
  package           = "fdist-0.1.0-0123456789ab.tar.gz"
  database_password = "a-password-for-tests-that-is-long-enough"
}

run "a_bucket_is_made_unless_one_is_named" {
  command = plan

  assert {
    condition     = output.bucket == "fdist-weights-example-project"
    error_message = "the bucket is ${output.bucket}"
  }
}

run "an_existing_bucket_is_used_as_it_is" {
  command = plan
  variables {
    bucket = "example-weights"
  }

  assert {
    condition     = output.bucket == "example-weights"
    error_message = "the bucket is ${output.bucket}"
  }
}

run "the_tunnel_is_a_command_that_can_be_pasted" {
  command = plan
  variables {
    name   = "llama"
    region = "europe-west4"
    zones  = ["europe-west4-a", "europe-west4-b"]
  }

  assert {
    condition     = startswith(output.ui_tunnel, "gcloud compute start-iap-tunnel \"$(gcloud compute instance-groups managed list-instances llama-coordinator ")
    error_message = output.ui_tunnel
  }

  assert {
    condition     = endswith(output.ui_tunnel, " 8000 --local-host-port=127.0.0.1:8000 --project=example-project --zone=europe-west4-a")
    error_message = output.ui_tunnel
  }
}

run "disks_that_google_gives_are_taken" {
  command = plan
  variables {
    machine_type = "n2-highmem-32"
    local_ssds   = 16
  }
}

run "other_series_take_what_they_are_given" {
  command = plan
  variables {
    machine_type = "n2d-standard-48"
    local_ssds   = 2
  }
}

run "a_fixed_number_of_workers_is_waited_for" {
  command = plan
  variables {
    num_servers = 5
  }

  assert {
    condition     = output.workers_expected == 5
    error_message = "waits for ${output.workers_expected}"
  }
}

run "with_autoscaling_its_least_counts" {
  command = plan
  variables {
    num_servers = 50
    autoscaling = { min = 4, max = 40 }
  }

  assert {
    condition     = output.workers_expected == 4
    error_message = "waits for ${output.workers_expected}"
  }
}
