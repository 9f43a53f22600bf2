# Secrets, and who may read or add to which. Values are made by the machine that owns them, at its first start; none of
# them passes through Terraform or its state.

locals {
  readers = { for pair in flatten([
    for secret, rule in var.secrets : [for role in rule.readers : { secret = secret, role = role }]
  ]) : "${pair.secret} ${pair.role}" => pair }
  makers = { for secret, rule in var.secrets : secret => rule.maker if rule.maker != null }
}

resource "google_secret_manager_secret" "this" {
  for_each = var.secrets

  secret_id = "${var.name}-${each.key}"

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.readers

  secret_id = google_secret_manager_secret.this[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.members[each.value.role]
}

resource "google_secret_manager_secret_iam_member" "maker" {
  for_each = local.makers

  secret_id = google_secret_manager_secret.this[each.key].id
  role      = "roles/secretmanager.secretVersionAdder"
  member    = var.members[each.value]
}
