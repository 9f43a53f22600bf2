# A first installation: three workers and nothing that is paid for twice.
#   make deploy PROJECT=my-project NUM_SERVERS=3 TFVARS=terraform/examples/small.tfvars
machine_type               = "n2-standard-8"
local_ssds                 = 1
coordinator_machine_type   = "e2-medium"
redis_size                 = "STANDARD_SMALL"
redis_replicas             = 0
database_tier              = "db-custom-1-3840"
database_high_availability = false
deletion_protection        = false
