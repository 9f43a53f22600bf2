output "ids" {
  description = "The secrets' short ids, by name; known to all who may read them."
  value       = { for name, secret in google_secret_manager_secret.this : name => secret.secret_id }
  depends_on  = [google_secret_manager_secret_iam_member.reader, google_secret_manager_secret_iam_member.maker]
}
