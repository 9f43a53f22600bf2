output "emails" {
  description = "Addresses of the service accounts, by role."
  value       = { for role, account in google_service_account.this : role => account.email }
}

output "members" {
  description = "The service accounts as IAM members, by role."
  value       = { for role, account in google_service_account.this : role => account.member }
}
