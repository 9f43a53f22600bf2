"""What uvicorn serves: `python manage.py web`, or `uvicorn fdist_site.asgi:application`."""

import os
import warnings

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fdist_site.settings")
# Static files are small and are read at once; Django would rather have them as asynchronous iterators.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
application = get_asgi_application()

# Half a second of the bucket's libraries now, rather than in the first request that submits a job.
import transfers.sources  # noqa: E402, F401
