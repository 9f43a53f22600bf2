#!/usr/bin/env bash
# shellcheck source=common.sh
[ "$(type -t say || true)" = function ] || source "$(dirname "$0")/common.sh"
#
# The coordinator: secrets that it alone makes, the record's tables, a first user, a key for the workers, the services.

# secret_id NAME: what a secret of this installation is called.
secret_id() { metadata instance/attributes/fdist-secrets | sed -n "s/^$1=//p"; }

# The record's tables, a first user, and the key with which workers register. The key is made once and kept where they
# find it; a record that was lost and begun anew takes the old one over.
set_up() {
    local id key made
    id="$(secret_id enrolment-key)"
    key="$(secret "$id")" || [ $? -eq 1 ] # it has none yet; anything else ends this
    made="$(PASSWORD="$(secret "$(secret_id admin-password)")" KEY="$key" python3 -c '
import json, os
given = {"password": os.environ["PASSWORD"], "enrolment_key": os.environ["KEY"]}
print(json.dumps({name: value for name, value in given.items() if value}))' | manage coordinator.env set_up)"
    [ -n "$key" ] && return
    say "keeping the workers' enrolment key"
    printf '%s' "$made" | add_secret "$id"
}

# The key by which workers know the coordinator's plans. It is no secret; it is kept with them since workers read it there.
publish_key() {
    local id key
    id="$(secret_id coordinator-key)"
    key="$(manage coordinator.env enrolment_key public)"
    [ "$(secret "$id" || true)" = "$key" ] && return
    say "publishing the coordinator's key"
    printf '%s' "$key" | add_secret "$id"
}

main() {
    make_account
    install_package
    local name
    for name in secret-key signing-key admin-password metrics-token; do
        ensure_secret "$(secret_id "$name")"
    done
    write_authority fdist-redis-ca redis-ca.pem
    write_authority fdist-database-ca database-ca.pem
    write_settings coordinator.env "$(metadata instance/attributes/fdist-env)"
    set_up
    publish_key
    start_services fdist-web fdist-planner fdist-recorder fdist-reaper
    start_ops_agent 8000 9464 9465 9466
    say "the coordinator is up"
}

main
