#!/usr/bin/env bash
# A command of fdist on the coordinator, as its own user and with its settings. As root:
#   /opt/fdist/terraform/scripts/manage.sh token admin
set -euo pipefail

exec systemd-run --quiet --pipe --wait --collect --uid=fdist --working-directory=/opt/fdist \
    --property=EnvironmentFile=/etc/fdist/coordinator.env /opt/fdist/.venv/bin/python manage.py "$@"
