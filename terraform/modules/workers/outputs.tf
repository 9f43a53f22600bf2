output "group" {
  description = "Name of the instance group."
  value       = google_compute_region_instance_group_manager.this.name
}
