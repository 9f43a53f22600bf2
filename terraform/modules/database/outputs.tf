output "url" {
  description = "DATABASE_URL of fdist, with the name of the password's secret in the password's place."
  value = join("", [
    "postgres://${google_sql_user.this.name}:{{secret:${var.password_secret}}}",
    "@${google_sql_database_instance.this.private_ip_address}:5432/${google_sql_database.this.name}",
    "?sslmode=verify-ca&sslrootcert=/etc/fdist/database-ca.pem",
  ])
  depends_on = [google_secret_manager_secret_version.password]
}

output "certificate" {
  description = "The authority that signs its certificate, as PEM."
  value       = google_sql_database_instance.this.server_ca_cert[0].cert
}
