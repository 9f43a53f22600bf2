#!/usr/bin/env bash
# What every start-up script begins with: Google's metadata and secrets, the package, settings, services.
#
# Start-up scripts run at each boot, as root; each step finds out by itself whether it is done already.
# The variables with defaults are there for trying the scripts where there is no cloud.
set -Eeuo pipefail
umask 077
trap 'echo "fdist: line $LINENO failed: $BASH_COMMAND" >&2' ERR

ROOT="${FDIST_ROOT:-}"                  # what every path begins with
ACCOUNT="${FDIST_ACCOUNT:-fdist}"       # the user whose processes fdist's are
PATIENCE="${FDIST_PATIENCE:-1800}"      # seconds to wait for what another machine makes
METADATA="http://${GCE_METADATA_HOST:-metadata.google.internal}/computeMetadata/v1"
SECRETS="${FDIST_SECRETS_ENDPOINT:-https://secretmanager.googleapis.com}"
STORAGE="${FDIST_STORAGE_ENDPOINT:-https://storage.googleapis.com}"

OPS_AGENT="https://dl.google.com/cloudagents/add-google-cloud-ops-agent-repo.sh"

HOME_DIR="$ROOT/opt/fdist"
ETC="$ROOT/etc/fdist"
STATE="$ROOT/var/lib/fdist"
UNITS="$ROOT/etc/systemd/system"

say() { echo "fdist: $*" >&2; }

die() {
    say "$*"
    exit 1
}

# --- Google's metadata server, and the login that it gives

# metadata PATH [DEFAULT]: a value; fails when it is not there and no default is given.
metadata() {
    curl -sf --retry 5 --retry-connrefused -H "Metadata-Flavor: Google" "$METADATA/$1" && return
    [ $# -gt 1 ] && printf '%s' "$2"
}

# json KEY...: what a JSON object on standard input has there.
json() {
    python3 -c 'import functools, json, sys; print(functools.reduce(lambda each, key: each[key], sys.argv[1:], json.load(sys.stdin)))' "$@"
}

# The header with which the machine's account is logged in, for curl's -K: a token has no place in a list of processes.
login() {
    printf 'header = "Authorization: Bearer %s"\n' "$(metadata instance/service-accounts/default/token | json access_token)"
}

# --- Secret Manager

# secret ID: its newest value. Fails with 1 when it has none, and with 2 when that cannot be told, as in the minutes until
# a role that was given is known everywhere.
secret() {
    local project answer
    project="$(metadata project/project-id)" || return 2
    answer="$(curl -s --retry 3 -K <(login) -w '\n%{http_code}' "$SECRETS/v1/projects/$project/secrets/$1/versions/latest:access")" ||
        return 2
    case "${answer##*$'\n'}" in
    200) json payload data <<<"${answer%$'\n'*}" | base64 -d ;;
    404) return 1 ;;
    *) return 2 ;;
    esac
}

# await_secret ID: the same, once the machine that makes it has done so.
await_secret() {
    local deadline=$((SECONDS + PATIENCE))
    until secret "$1"; do
        [ "$SECONDS" -lt "$deadline" ] || die "secret $1 has had no value for $PATIENCE s: did the coordinator start?"
        say "waiting for secret $1"
        sleep 5
    done
}

# add_secret ID: a new version of it, of what is on standard input.
add_secret() {
    local project
    project="$(metadata project/project-id)"
    python3 -c 'import base64, json, sys; print(json.dumps({"payload": {"data": base64.b64encode(sys.stdin.buffer.read()).decode()}}))' |
        curl -sf --retry 3 -K <(login) -H "Content-Type: application/json" --data-binary @- \
            -o /dev/null "$SECRETS/v1/projects/$project/secrets/$1:addVersion"
}

# random_text: 64 letters, digits, - and _, which nobody guesses.
random_text() { python3 -c 'import secrets; print(secrets.token_urlsafe(48), end="")'; }

# ensure_secret ID: gives it a random value unless it has one. A value that cannot be read is not replaced.
ensure_secret() {
    local deadline=$((SECONDS + PATIENCE)) status
    while true; do
        status=0
        secret "$1" >/dev/null || status=$?
        [ "$status" -ne 0 ] || return 0
        [ "$status" -ne 1 ] || break
        [ "$SECONDS" -lt "$deadline" ] || die "secret $1 could not be read for $PATIENCE s; look at this machine's roles"
        sleep 5
    done
    say "making secret $1"
    random_text | add_secret "$1"
}

# fill TEXT: the text with each {{secret:ID}} replaced by the secret.
fill() {
    local text="$1" value
    while [[ "$text" =~ \{\{secret:([A-Za-z0-9_-]+)\}\} ]]; do
        value="$(await_secret "${BASH_REMATCH[1]}")"
        text="${text//"${BASH_REMATCH[0]}"/"$value"}"
    done
    printf '%s\n' "$text"
}

# --- the package

# download OBJECT FILE: an object of the bucket, which this machine may just have got the right to read.
download() {
    local deadline=$((SECONDS + PATIENCE))
    until curl -sf --retry 5 -K <(login) -o "$2" "$STORAGE/$1"; do
        [ "$SECONDS" -lt "$deadline" ] || die "gs://$1 could not be read for $PATIENCE s; look at this machine's roles"
        sleep 5
    done
}

# Installs the package that the metadata name, with all that it needs, from the bucket alone.
install_package() {
    local object archive folder sum python each before
    object="$(metadata instance/attributes/fdist-package)"
    archive="${object##*/}"
    folder="$ROOT/opt/${archive%.tar.gz}"
    if [ ! -e "$folder/.ready" ]; then
        say "installing $archive"
        rm -rf "$folder"
        install -d -m 755 "$folder"
        download "$object" "$folder.tar.gz"
        sum="$(sha256sum "$folder.tar.gz")"
        [[ "$archive" == *"-${sum:0:12}.tar.gz" ]] || die "$archive is not what its name says: its SHA-256 is ${sum%% *}"
        (umask 022 && tar -xzf "$folder.tar.gz" -C "$folder" --no-same-owner)
        rm "$folder.tar.gz"
        python="python$(cat "$folder/python-version")"
        command -v "$python" >/dev/null || die "the image has no $python: choose another image, or pack for its Python"
        (
            umask 022
            cd "$folder"
            "$python" -m venv --without-pip .venv
            echo "$folder/site-packages" >".venv/lib/$python/site-packages/fdist.pth"
        )
        touch "$folder/.ready"
    fi
    before="$(readlink "$HOME_DIR" || true)"
    ln -sfnT "$folder" "$HOME_DIR"
    for each in "$ROOT"/opt/fdist-*; do # the one before stays, for processes that still run from it
        [ "$each" = "$folder" ] || [ "$each" = "$before" ] || rm -rf "$each"
    done
}

# --- settings and services

make_account() {
    id -u "$ACCOUNT" >/dev/null 2>&1 || useradd --system --home-dir /var/lib/fdist --shell /usr/sbin/nologin "$ACCOUNT"
    # Secrets are read by systemd, as root; authorities' certificates by everybody.
    install -d -m 755 "$ETC" "$UNITS"
    install -d -m 750 -o "$ACCOUNT" "$STATE"
}

# write_settings FILE TEXT: an environment file of systemd's, with secrets filled in; only root reads it.
write_settings() {
    # The project's folder is root's: what Python compiles goes where fdist may write.
    fill "$2
FDIST_STATE_DIR=$STATE
PYTHONPYCACHEPREFIX=$STATE/pycache" >"$ETC/$1.new"
    chmod 600 "$ETC/$1.new"
    mv "$ETC/$1.new" "$ETC/$1"
}

# write_authority ATTRIBUTE FILE: the certificate by which a server is known.
write_authority() {
    local text
    text="$(metadata "instance/attributes/$1" "")"
    [ -z "$text" ] && return
    fill "$text" >"$ETC/$2"
    chmod 644 "$ETC/$2"
}

# manage FILE ARGUMENT...: a command of fdist as its own user, with an environment file.
manage() {
    local settings
    mapfile -t settings <"$ETC/$1"
    shift
    (
        export "${settings[@]}"
        cd "$HOME_DIR"
        if [ "$(id -u)" = 0 ]; then
            exec runuser -u "$ACCOUNT" -- .venv/bin/python manage.py "$@"
        fi
        exec .venv/bin/python manage.py "$@"
    )
}

# start_services NAME...: installs the units of the package, and starts each anew. They are not enabled: at a boot the
# data disk has to be there first, so it is this script that starts them each time.
start_services() {
    local name
    for name in "$@"; do
        install -m 644 "$HOME_DIR/terraform/scripts/units/$name.service" "$UNITS/$name.service"
    done
    systemctl daemon-reload
    systemctl restart "$@"
}

# start_ops_agent PORT...: logs, and the metrics of these ports, to Google Cloud. A machine works without: a failure is told and passed over.
start_ops_agent() {
    [ "$(metadata instance/attributes/fdist-ops-agent false)" = true ] || return 0
    local folder="$ROOT/etc/google-cloud-ops-agent" cell machine port targets=""
    cell="$(grep -h '^FDIST_CELL=' "$ETC"/*.env | head -1 | cut -d= -f2-)"
    machine="$(metadata instance/name)"
    for port in "$@"; do
        targets+="{targets: [\"127.0.0.1:$port\"], labels: {instance: \"$machine:$port\"}}, "
    done
    install -d -m 755 "$folder"
    sed "s/CELL/$cell/; s/TARGETS/${targets%, }/" "$HOME_DIR/terraform/scripts/ops-agent.yaml" >"$folder/config.yaml"
    grep -h '^FDIST_METRICS_TOKEN=' "$ETC"/*.env | head -1 | cut -d= -f2- >"$folder/fdist-token"
    if ! systemctl cat google-cloud-ops-agent >/dev/null 2>&1; then
        local installer="$ROOT/run/ops-agent.sh"
        install -d "$ROOT/run"
        if ! { curl -sSf --retry 3 -o "$installer" "$OPS_AGENT" && bash "$installer" --also-install; }; then
            say "the Ops Agent could not be installed; logs stay on this machine"
            return 0
        fi
    fi
    systemctl restart google-cloud-ops-agent || say "the Ops Agent does not start"
}
