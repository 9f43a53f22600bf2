"""For hosts that speak WSGI only. Live pages hold a thread each there: prefer fdist_site.asgi."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fdist_site.settings")
application = get_wsgi_application()
