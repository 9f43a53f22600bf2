"""What uvicorn serves: `python manage.py web`, or `uvicorn fdist_site.asgi:application`."""

import os
import warnings

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fdist_site.settings")
# Static files are small and are read at once; Django would rather have them as asynchronous iterators.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
application = get_asgi_application()

# A second of imports now, rather than in the first request, and in the first one that submits a job.
import fdist_site.urls  # noqa: E402, F401
import transfers.sources  # noqa: E402, F401
