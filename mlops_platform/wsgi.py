"""Django as a WSGI application, which the threads of the web server run (`asgi.py`)."""

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
    """Django, with a Content-Length for chunked bodies, which Django would take for empty.

    Reads at most one byte more than the limit; the middleware then refuses the body.
    """
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if chunked:
        body = environ["wsgi.input"].read(settings.MAX_BODY_BYTES + 1)
        environ.update({"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))})
    return _django(environ, start_response)
