"""Prepares the record of a local fleet, in one process: tables, a user, an API token, an enrolment key.

Run as `python -m fdist_site.local.bootstrap NAME` with the coordinator's environment and the nodes' key in
FDIST_ENROLMENT_KEY; prints one JSON object with `password` and `token`. A user and a key of that name are replaced.
"""

from __future__ import annotations

import json
import os
import secrets
import sys


def bootstrap(name: str, enrolment_key: str) -> dict[str, str]:
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from knox.models import AuthToken

    from nodes.models import EnrolmentKey

    call_command("migrate", verbosity=0, interactive=False)
    users = get_user_model().objects
    users.filter(username=name).delete()
    password = secrets.token_urlsafe(12)
    user = users.create_superuser(name, None, password)
    _, token = AuthToken.objects.create(user)
    EnrolmentKey.objects.filter(name=name).delete()
    EnrolmentKey.adopt(name, enrolment_key)
    return {"password": password, "token": token}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fdist_site.settings")
    print(json.dumps(bootstrap(sys.argv[1], os.environ["FDIST_ENROLMENT_KEY"])))
