#!/usr/bin/env bash
# Lets a worker leave in good order. Without an argument it does so now: it is the machine's shutdown script. With
# "watch" it waits for the notice that a Spot machine is about to be taken away.
#
# The agent begins nothing new and goes on serving: nodes fetch the rarest shards first, so those that only this one has
# leave first. Then it says goodbye, and the others stop counting on it at once.
set -euo pipefail

METADATA="http://${GCE_METADATA_HOST:-metadata.google.internal}/computeMetadata/v1"
RESERVE="${FDIST_LEAVE_RESERVE:-8}" # seconds kept for the goodbye itself
ORDINARY="${FDIST_LEAVE_SECONDS:-20}" # seconds that a machine which is stopped by a person serves on

say() { echo "fdist: $*" >&2; }

metadata() { curl -sf -H "Metadata-Flavor: Google" "$METADATA/$1"; }

# preempted QUERY: whether the notice has come; with ?wait_for_change it answers when that changes.
preempted() { [ "$(metadata "instance/preempted$1")" = TRUE ]; }

# leave SECONDS: serve on for as long, then end. An agent that has ended already is not waited for.
leave() {
    systemctl is-active --quiet fdist-agent || return 0
    say "leaving within $1 s: nothing new begins, what is here is served"
    systemctl kill --kill-whom=main --signal=USR2 fdist-agent
    local deadline=$((SECONDS + $1))
    while [ "$SECONDS" -lt "$deadline" ] && systemctl is-active --quiet fdist-agent; do
        sleep 1
    done
    systemctl stop fdist-agent
    say "left"
}

watch() {
    # Asked once without waiting: the notice may have come before we did.
    until preempted "" || preempted "?wait_for_change=true&timeout_sec=600"; do
        sleep 0.2
    done
    leave "$(($(metadata instance/attributes/fdist-notice || echo 30) - RESERVE))"
}

case "${1:-now}" in
watch) watch ;;
now) leave "$ORDINARY" ;;
*)
    say "leave.sh [watch]"
    exit 2
    ;;
esac
