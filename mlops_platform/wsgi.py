"""The WSGI entry point that gunicorn serves."""

import os
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops_platform.settings")

_django = get_wsgi_application()


def application(environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
    """Django, with a length for API bodies that come in chunks: it takes those for empty.

    No more is read than shows that the body is too large, which the middleware then answers.
    """
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if chunked and environ.get("PATH_INFO", "").startswith("/api/"):
        body = environ["wsgi.input"].read(settings.MAX_BODY_BYTES + 1)
        environ.update({"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))})
    return _django(environ, start_response)
