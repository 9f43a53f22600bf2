#!/usr/bin/env bash
# shellcheck source=disk.sh
[ "$(type -t mount_data_disk || true)" = function ] || source "$(dirname "$0")/disk.sh"
#
# A worker: its data disk, the kernel's limits, the agent, and whoever listens for the notice that a Spot machine goes.

DATA="$STATE/data"

# What one connection needs to fill a fast link, and what keeps it fast from one shard to the next.
tune() {
    install -d -m 755 "$ROOT/etc/sysctl.d"
    cat >"$ROOT/etc/sysctl.d/90-fdist.conf" <<'SETTINGS'
# 16 MiB in flight: 10 Gbit/s over 13 ms, as to a bucket in another region
net.core.rmem_max = 16777216
net.core.wmem_max = 16777216
net.ipv4.tcp_rmem = 4096 131072 16777216
net.ipv4.tcp_wmem = 4096 65536 16777216
# connections between nodes rest between shards and are to go on at full rate
net.ipv4.tcp_slow_start_after_idle = 0
# jumbo frames inside of the network, smaller ones beyond it
net.ipv4.tcp_mtu_probing = 1
SETTINGS
    chmod 644 "$ROOT/etc/sysctl.d/90-fdist.conf"
    sysctl -q -p "$ROOT/etc/sysctl.d/90-fdist.conf" || say "some limits of the kernel stay as they are"
}

# labels: those by which jobs pick this node.
labels() {
    local zone machine more
    zone="$(metadata instance/zone)"
    zone="${zone##*/}"
    machine="$(metadata instance/machine-type)"
    more="$(metadata instance/attributes/fdist-labels "")"
    echo "zone=$zone,region=${zone%-*},machine=${machine##*/}${more:+,$more}"
}

# release: the package's version and content, as in its name.
release() { basename "$(readlink "$HOME_DIR")" | sed 's/^fdist-//'; }

main() {
    make_account
    mount_data_disk "$DATA" fdist-data
    chown "$ACCOUNT" "$DATA"
    tune
    install_package
    write_authority fdist-redis-ca redis-ca.pem
    write_settings agent.env "$(metadata instance/attributes/fdist-env)
FDIST_DATA_DIR=$DATA
FDIST_NODE_NAME=$(metadata instance/name)
FDIST_ADVERTISE_HOST=$(metadata instance/network-interfaces/0/ip)
FDIST_LABELS=$(labels)
FDIST_RELEASE=$(release)"
    start_services fdist-agent fdist-notice fdist-update
    start_ops_agent 9464
    say "the agent is up"
}

main
