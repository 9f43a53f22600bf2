output "network" {
  description = "The network; whoever needs an address in it waits until the services' networks are joined."
  value       = google_compute_network.this.id
  depends_on = [
    google_service_networking_connection.this,
    google_network_connectivity_service_connection_policy.memorystore,
  ]
}

output "subnet" {
  description = "The subnet of the machines."
  value       = google_compute_subnetwork.this.id
}
