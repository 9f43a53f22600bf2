output "group" {
  description = "Name of the instance group."
  value       = google_compute_instance_group_manager.this.name
}

output "zone" {
  description = "Zone of the machine."
  value       = google_compute_instance_group_manager.this.zone
}
