#!/usr/bin/env bash
# Waits until the machine's metadata name another package, then lets the start-up script run again: it installs the new
# package beside the old one and starts the agent anew. Data stay where they are, and no machine is replaced.
set -euo pipefail

METADATA="http://${GCE_METADATA_HOST:-metadata.google.internal}/computeMetadata/v1"
CURRENT="${FDIST_ROOT:-}/opt/fdist"

# wanted QUERY: the name of the package; with ?wait_for_change the answer comes when that changes.
wanted() { curl -sf -H "Metadata-Flavor: Google" "$METADATA/instance/attributes/fdist-package$1"; }

name="$(wanted "")"
while [ "$(basename "$name" .tar.gz)" = "$(basename "$(readlink "$CURRENT")")" ]; do
    name="$(wanted "?wait_for_change=true&timeout_sec=600")"
done
echo "fdist: another package is wanted: $name" >&2
systemctl restart --no-block google-startup-scripts.service
