locals {
  in_zone = "--project=${var.project} --zone=${module.coordinator.zone}"
  machine = "\"$(gcloud compute instance-groups managed list-instances ${module.coordinator.group} ${local.in_zone} --format='value(instance.basename())' --limit=1)\""
}

output "ui_tunnel" {
  description = "Opens the UI at http://127.0.0.1:8000 for as long as it runs."
  value       = "gcloud compute start-iap-tunnel ${local.machine} ${local.ports.web} --local-host-port=127.0.0.1:8000 ${local.in_zone}"
}

output "ssh" {
  description = "Logs in to the coordinator."
  value       = "gcloud compute ssh ${local.machine} --tunnel-through-iap ${local.in_zone}"
}

output "admin_password" {
  description = "Prints the password of the user admin."
  value       = "gcloud secrets versions access latest --project=${var.project} --secret=${module.secrets.ids["admin-password"]}"
}

output "metrics_token" {
  description = "Prints the token with which metrics are read."
  value       = "gcloud secrets versions access latest --project=${var.project} --secret=${module.secrets.ids["metrics-token"]}"
}

output "bucket" {
  description = "The bucket with the files to distribute."
  value       = module.storage.weights
}

output "release" {
  description = "What up-to-date workers say that they run."
  value       = trimsuffix(trimprefix(basename(var.package), "fdist-"), ".tar.gz")
}

output "coordinator_group" {
  description = "The coordinator's instance group."
  value       = { name = module.coordinator.group, zone = module.coordinator.zone }
}

output "workers_group" {
  description = "The workers' instance group."
  value       = { name = module.workers.group, region = var.region }
}

output "workers_expected" {
  description = "How many workers there are at least when all is well."
  value       = var.autoscaling == null ? var.num_servers : var.autoscaling.min
}
