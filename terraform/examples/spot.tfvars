# A fleet of Spot machines in three zones that follows the load, with weights in a bucket that exists.
bucket            = "example-weights"
zones             = ["us-central1-a", "us-central1-b", "us-central1-f"]
machine_type      = "c3-standard-44-lssd"
local_ssds        = 0 # the machine type brings its own
tier_1_networking = true
spot              = true
preemption_notice = 120
node_labels       = { model = "llama" }
alert_emails      = ["oncall@example.org"]
runbook_url       = "https://docs.example.com/fdist/runbook.html"
operators         = ["group:ml-platform@example.org"]

database_high_availability = true

autoscaling = {
  min = 4
  max = 400
}
