# One service account a role, with what it needs and no more. Nobody has a key file: a machine's identity is its login.

locals {
  machines = merge(
    { coordinator = "plans, records, serves the UI", workers = "receive and pass on shards" },
    var.redis_machine ? { redis = "runs Redis" } : {},
  )
  project_roles = ["roles/logging.logWriter", "roles/monitoring.metricWriter"]
}

resource "google_service_account" "this" {
  for_each = local.machines

  account_id   = "${var.name}-${each.key}"
  display_name = "${var.name}: ${each.key}"
  description  = "fdist: ${each.value}"
}

resource "google_project_iam_member" "telemetry" {
  for_each = { for pair in setproduct(keys(local.machines), local.project_roles) : "${pair[0]} ${pair[1]}" => pair }

  project = var.project
  role    = each.value[1]
  member  = google_service_account.this[each.value[0]].member
}

# --- people

resource "google_project_iam_member" "tunnel" {
  for_each = toset(var.operators)

  project = var.project
  role    = "roles/iap.tunnelResourceAccessor"
  member  = each.value

  condition {
    title       = "fdist-ports"
    description = "The UI and SSH, no other port"
    expression  = "destination.port == 22 || destination.port == ${var.web_port}"
  }
}

resource "google_project_iam_member" "login" {
  for_each = toset(var.operators)

  project = var.project
  role    = "roles/compute.osAdminLogin"
  member  = each.value
}

# OS Login asks for this as well: whoever is on a machine can act as it.
resource "google_service_account_iam_member" "login" {
  for_each = { for pair in setproduct(keys(local.machines), var.operators) : "${pair[0]} ${pair[1]}" => pair }

  service_account_id = google_service_account.this[each.value[0]].id
  role               = "roles/iam.serviceAccountUser"
  member             = each.value[1]
}
