output "weights" {
  description = "Name of the bucket with the weights."
  value       = var.existing == "" ? google_storage_bucket.weights[0].name : var.existing
}

output "packages" {
  description = "Name of the bucket with the packages."
  value       = google_storage_bucket.packages.name
}

output "package" {
  description = "Name of the package's object."
  value       = google_storage_bucket_object.package.name
}
