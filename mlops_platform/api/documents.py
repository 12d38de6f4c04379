"""The documents about the API are the same for everybody: each process makes them once.

Making one takes about a second, and anybody may ask for it without a token.
"""

import hashlib
import threading
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from drf_yasg.views import get_schema_view
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

MOST_KEPT = 32  # by form, scheme and host; an operator may allow any number of hosts
MAX_AGE_S = 60

Key = tuple[type[Any], str, str]


class Document(NamedTuple):
    content: bytes
    content_type: str
    etag: str


_kept: dict[Key, Document] = {}
_lock = threading.Lock()  # while one is made, the others that ask for it wait


# No authentication here: a stale token kept by Swagger UI must not hide the page that renews it.
_SchemaView: Any = get_schema_view(
    public=True, permission_classes=[AllowAny], authentication_classes=[]
)


class SchemaView(_SchemaView):
    """The description of the API and its page, from memory; 304 where the client has it already."""

    def get(self, request: Request, version: str = "", format: Any = None) -> HttpResponseBase:  # noqa: A002 - DRF's name
        key: Key = (type(request.accepted_renderer), request.scheme or "", request.get_host())
        with _lock:
            if key not in _kept:
                if len(_kept) >= MOST_KEPT:
                    _kept.clear()
                _kept[key] = self._make(request, version, format)
            document = _kept[key]
        return answer(request._request, document)

    def _make(self, request: Request, *args: Any) -> Document:
        response = super().get(request, *args)
        response.accepted_renderer = request.accepted_renderer
        response.accepted_media_type = request.accepted_media_type
        response.renderer_context = self.get_renderer_context()
        content = response.render().content
        digest = hashlib.sha256(content).hexdigest()[:32]
        return Document(content, response["Content-Type"], f'"{digest}"')


def answer(request: HttpRequest, document: Document) -> HttpResponseBase:
    """The document, or 304 where the request names its ETag."""
    response = HttpResponse(document.content, content_type=document.content_type)
    response["ETag"] = document.etag
    response["Cache-Control"] = f"public, max-age={MAX_AGE_S}"
    return get_conditional_response(request, etag=document.etag, response=response) or response
