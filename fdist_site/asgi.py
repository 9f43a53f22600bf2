"""What uvicorn serves: `python manage.py web`, or `uvicorn fdist_site.asgi:application`."""

import os
import warnings

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fdist_site.settings")
# Static files are small and are read at once; Django would rather have them as asynchronous iterators.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
application = get_asgi_application()
