#!/usr/bin/env bash
# shellcheck source=disk.sh
[ "$(type -t mount_data_disk || true)" = function ] || source "$(dirname "$0")/disk.sh"
#
# Redis on a machine of its own: Debian's, with TLS, users and an append-only file on a disk that outlives it.

REDIS_ETC="$ROOT/etc/redis"
REDIS_DATA="$ROOT/var/lib/redis"
REDIS_ACCOUNT="${FDIST_REDIS_ACCOUNT:-redis}"
MEMORY_PERCENT=70 # for data; the rest is for the append-only file's rewriting

secret_id() { metadata instance/attributes/fdist-secrets | sed -n "s/^$1=//p"; }

# An authority of its own, whose certificate is what clients trust, and a certificate for this machine's address.
make_certificates() {
    local ip authority="$REDIS_DATA/ca" server="$REDIS_DATA/server"
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    ip="$(metadata instance/network-interfaces/0/ip)"
    if [ ! -e "$authority.pem" ]; then
        openssl req -x509 "${key[@]}" -days 3650 -subj "/CN=fdist redis" -keyout "$authority.key" -out "$authority.new" 2>/dev/null
        mv "$authority.new" "$authority.pem"
    fi
    openssl req "${key[@]}" -subj "/CN=$ip" -keyout "$server.key" -out "$server.csr" 2>/dev/null
    openssl x509 -req -in "$server.csr" -CA "$authority.pem" -CAkey "$authority.key" -CAcreateserial -days 825 \
        -extfile <(printf 'subjectAltName = IP:%s' "$ip") -out "$server.pem" 2>/dev/null
    chown "$REDIS_ACCOUNT" "$server.key" "$server.pem" "$authority.pem"
    if [ "$(secret "$(secret_id certificate)" || true)" != "$(cat "$authority.pem")" ]; then
        add_secret "$(secret_id certificate)" <"$authority.pem"
    fi
}

# Agents have a user of their own, with the keys and the commands that their work needs; so has the coordinator. The default
# user is for operators. The rules come from fdist itself; the server is given digests of the passwords.
write_users() {
    local rules name
    rules="$(metadata instance/attributes/fdist-users)"
    for name in password agents-password coordinator-password; do
        ensure_secret "$(secret_id "$name")"
        rules="${rules//"@$name@"/"$(secret "$(secret_id "$name")" | sha256sum | head -c 64)"}"
    done
    install -d -m 750 -o "$REDIS_ACCOUNT" "$REDIS_ETC"
    printf '%s\n' "$rules" >"$REDIS_ETC/users.acl"
    chown "$REDIS_ACCOUNT" "$REDIS_ETC/users.acl"
}

write_config() {
    local memory
    memory="$(awk -v percent="$MEMORY_PERCENT" '/^MemTotal/ {printf "%.0f", $2 * 1024 * percent / 100}' /proc/meminfo)"
    install -d -m 750 -o "$REDIS_ACCOUNT" "$REDIS_ETC"
    fill "bind $(metadata instance/network-interfaces/0/ip)
port 0
tls-port ${FDIST_REDIS_PORT:-6379}
tls-cert-file $REDIS_DATA/server.pem
tls-key-file $REDIS_DATA/server.key
tls-ca-cert-file $REDIS_DATA/ca.pem
tls-auth-clients no
aclfile $REDIS_ETC/users.acl
dir $REDIS_DATA
appendonly yes
appendfsync everysec
maxmemory $memory
maxmemory-policy noeviction
maxclients 40000
tcp-backlog 4096
disable-thp no
supervised auto" >"$REDIS_ETC/redis.conf"
    chown "$REDIS_ACCOUNT" "$REDIS_ETC/redis.conf"
}

# Large pages for what it keeps: with many nodes a tenth of a call's time goes into finding small ones.
write_unit() {
    local drop_ins="$ROOT/etc/systemd/system/redis-server.service.d"
    install -d -m 755 "$drop_ins"
    printf '[Service]\nEnvironment=MALLOC_CONF=thp:always\n' >"$drop_ins/fdist.conf"
    systemctl daemon-reload
}

main() {
    command -v redis-server >/dev/null || apt-get install --yes --quiet redis-server
    mount_data_disk "$REDIS_DATA" fdist-redis keep
    chown "$REDIS_ACCOUNT" "$REDIS_DATA"
    make_certificates
    write_users
    write_config
    write_unit
    install -d -m 755 "$ROOT/etc/sysctl.d"
    printf 'net.core.somaxconn = 4096\nvm.overcommit_memory = 1\n' >"$ROOT/etc/sysctl.d/90-fdist.conf"
    sysctl -q -p "$ROOT/etc/sysctl.d/90-fdist.conf" || say "some limits of the kernel stay as they are"
    systemctl restart redis-server
    say "Redis is up"
}

main
