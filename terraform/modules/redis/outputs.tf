locals {
  # A standby's address is listed beside the one that takes writes.
  primaries = flatten([for instance in google_memorystore_instance.this : [
    for each in instance.endpoints[0].connections : each.psc_auto_connection[0].ip_address
    if each.psc_auto_connection[0].connection_type == "CONNECTION_TYPE_PRIMARY"
  ]])
  # Both redis-py and kombu read these options from the address.
  # The authority of a managed instance signs for that instance alone, and not for the address that it has here.
  tls = "ssl_cert_reqs=required&ssl_ca_certs=/etc/fdist/redis-ca.pem&ssl_check_hostname=${var.kind == "vm"}"
  hosts = {
    valkey = one(local.primaries)
    redis  = one(google_redis_instance.this[*].host)
    vm     = one(google_compute_instance.this[*].network_interface[0].network_ip)
  }
  ports = {
    valkey = 6379
    redis  = one(google_redis_instance.this[*].port)
    vm     = 6379
  }
  # Of whom. Only a machine of one's own has users; the managed kinds know one login.
  logins = {
    for role, user in { coordinator = "coordinator", workers = "agents" } : role => {
      valkey                        = ""
      redis                         = ":{{secret:${var.password_secret}}}@"
      vm                            = "fdist-${user}:{{secret:${lookup(var.user_secrets, "redis-${user}-password", "")}}}@"
    }[var.kind]
  }
  bases = { for role, login in local.logins : role => "rediss://${login}${local.hosts[var.kind]}:${local.ports[var.kind]}" }
}

output "environment" {
  description = "The variables of fdist that say how the coordinator, and how workers reach it."
  value = { for role, base in local.bases : role => {
    REDIS_URL         = "${base}/0?${local.tls}"
    FDIST_BROKER_URL  = "${base}/${var.kind == "valkey" ? 0 : 1}?${local.tls}"
    FDIST_REDIS_LOGIN = var.kind == "valkey" ? "google" : "url"
  } }
}

output "certificate" {
  description = "The authority that signs its certificate, as PEM, or {{secret:NAME}} for the secret with it."
  value = {
    valkey = join("\n", flatten(google_memorystore_instance.this[*].managed_server_ca[0].ca_certs[*].certificates))
    redis  = join("\n", flatten(google_redis_instance.this[*].server_ca_certs[*].cert))
    vm     = "{{secret:${var.certificate_secret}}}"
  }[var.kind]
}
