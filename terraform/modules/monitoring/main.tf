# Alerts: the same rules as Prometheus has (docs/grafana/alerts.yml), asked of Cloud Monitoring, into which the Ops Agent
# brings the coordinator's and the workers' metrics, as those of a job with this installation's name.

locals {
  rules = { for rule in flatten([for group in yamldecode(var.rules).groups : group.rules]) : rule.alert => rule }
  # What to do, by alert, out of the runbook. Its links are to pages beside it, and lead nowhere from a mail.
  sections = {
    for section in slice(split("\n## ", var.runbook), 1, length(split("\n## ", var.runbook))) :
    regex("^[^\n]+", section) => trimspace(replace(replace(section, "/^[^\n]+/", ""), "/\\[([^\\]]*)\\]\\([^)]*\\)/", "$1"))
  }
  severities = {
    critical = "CRITICAL"
    warning  = "ERROR"
    info     = "WARNING"
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.emails)

  display_name = "${var.name}: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
}

resource "google_monitoring_alert_policy" "rule" {
  for_each = local.rules

  display_name          = "${var.name}: ${each.key}"
  combiner              = "OR"
  severity              = local.severities[each.value.labels.severity]
  notification_channels = values(google_monitoring_notification_channel.email)[*].name

  conditions {
    display_name = each.key

    condition_prometheus_query_language {
      query                     = replace(replace(each.value.expr, "/(fdist_[a-z_]+)/", "$1{job=\"${var.name}\"}"), "}{", ", ")
      duration                  = { "1m" = "60s", "5m" = "300s", "10m" = "600s", "15m" = "900s", "30m" = "1800s" }[try(each.value.for, "1m")]
      evaluation_interval       = "60s"
      alert_rule                = each.key
      rule_group                = var.name
      disable_metric_validation = true # a metric is there once the first machine has reported it
    }
  }

  documentation {
    mime_type = "text/markdown"
    # Labels are in the alert itself; here they stand as <standing>: Prometheus's templates are not known.
    content = "${replace(each.value.annotations.description, "/\\{\\{ *\\$labels\\.([a-z_]+) *\\}\\}/", "<$1>")}\n\n${local.sections[each.key]}"

    dynamic "links" {
      for_each = toset(var.runbook_url == "" ? [] : ["${var.runbook_url}#${lower(each.key)}"])

      content {
        display_name = "Runbook"
        url          = links.value
      }
    }
  }
}
