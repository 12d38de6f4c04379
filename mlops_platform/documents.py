"""The documents about the API: Swagger 2.0 with its page, and OpenAPI 3.1 made of it.

Every visitor may ask for them, and making one takes about a second. They name no host
and depend on the code alone, so each process makes each of them once.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import yaml
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from drf_yasg.codecs import OpenAPICodecJson
from drf_yasg.renderers import SwaggerUIRenderer
from drf_yasg.views import get_schema_view
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from mlops_platform.api.schema import INFO
from mlops_platform.api.schema.generator import ApiGenerator
from mlops_platform.api.schema.openapi3 import convert
from mlops_platform.health import for_reading

MAX_AGE_S = 60
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # in C it takes a tenth of the time
CONTENT_TYPES = {"json": "application/json", "yaml": "application/yaml"}


class Document(NamedTuple):
    content: bytes
    content_type: str
    etag: str


_kept: dict[str, Document] = {}
_lock = threading.Lock()  # while one is made, the others that ask for it wait


@cache
def swagger() -> dict[str, Any]:
    """The Swagger 2.0 document."""
    made = ApiGenerator(INFO).get_schema(None, public=True)
    document: dict[str, Any] = json.loads(OpenAPICodecJson([]).encode(made))
    return document


@cache
def openapi() -> dict[str, Any]:
    """The same as OpenAPI 3.1."""
    return convert(swagger())


@for_reading
def show(request: HttpRequest, name: str) -> HttpResponse:
    """`swagger.json`, `openapi.yaml` and the like."""
    return _answer(request, name, lambda: _written(name))


# No authentication here: a stale token kept by Swagger UI must not hide the page that renews it.
_SchemaView: Any = get_schema_view(
    public=True, permission_classes=[AllowAny], authentication_classes=[]
)


class SwaggerView(_SchemaView):
    """Swagger UI; a client that asks for no page gets the document."""

    def get(self, request: Request, version: str = "", format: Any = None) -> HttpResponse:  # noqa: A002 - DRF's name
        if isinstance(request.accepted_renderer, SwaggerUIRenderer):
            return _answer(request._request, "page", lambda: self._page(request))
        answer: HttpResponse = show(request._request, name="swagger.json")
        return answer

    def _page(self, request: Request) -> tuple[bytes, str]:
        response = super().get(request)
        response.accepted_renderer = request.accepted_renderer
        response.accepted_media_type = request.accepted_media_type
        response.renderer_context = self.get_renderer_context()
        return response.render().content, response["Content-Type"]


def _written(name: str) -> tuple[bytes, str]:
    kind, _, form = name.partition(".")
    document = openapi() if kind == "openapi" else swagger()
    if form == "yaml":
        text = yaml.dump(document, Dumper=DUMPER, sort_keys=False, allow_unicode=True, width=100)
    else:
        text = json.dumps(document, ensure_ascii=False)
    return text.encode(), CONTENT_TYPES[form]


def _answer(request: HttpRequest, name: str, make: Callable[[], tuple[bytes, str]]) -> HttpResponse:
    """The document, made where it is not kept yet; 304 where the client has it already."""
    with _lock:
        if name not in _kept:
            content, content_type = make()
            digest = hashlib.sha256(content).hexdigest()[:32]
            _kept[name] = Document(content, content_type, f'"{digest}"')
    document = _kept[name]
    response = HttpResponse(document.content, content_type=document.content_type)
    response["ETag"] = document.etag
    response["Cache-Control"] = f"public, max-age={MAX_AGE_S}"
    return get_conditional_response(request, etag=document.etag, response=response) or response
