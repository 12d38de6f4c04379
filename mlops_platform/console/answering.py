"""Answers with a page, or with the part of it that lives.

A page may have one live part, a template `<name>_live.html`, which htmx asks for when news.py says
that something has changed, and now and then (console.js). It is answered with 304 where nothing has
changed. The part has no form: a CSRF token differs each time. Its buttons belong to a form around,
or beside it (`<button form="...">`).
"""

import hashlib
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from mlops_platform.console.navigation import links

LIVE = "live"
"""The id of the live part."""


def show(request: HttpRequest, name: str, page: Any, *, live: bool = False) -> HttpResponse:
    """The page `console/<name>.html`, whose templates know `page`. `live`: it has a live part."""
    context = {"page": page}
    if live:
        text = SafeString(render_to_string(f"console/{name}_live.html", context, request))
        tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'
        if asks_for_part(request):
            if request.headers.get("If-None-Match") == tag:
                return HttpResponse(status=304, headers={"ETag": tag})
            wrapped = render_to_string("console/live.html", _live(request, text, tag))
            return HttpResponse(wrapped, headers={"ETag": tag, "Vary": "HX-Target"})
        context |= _live(request, text, tag)
    return whole(request, f"console/{name}.html", context)


def whole(
    request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """A page with navigation."""
    shown = {"navigation": links(request), **context}
    text = render_to_string(template, shown, request)
    return HttpResponse(text, status=status, headers={"Vary": "HX-Target"})


def part(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """A piece of a page that htmx has asked for."""
    return HttpResponse(render_to_string(template, context, request))


def asks_for_part(request: HttpRequest) -> bool:
    """Whether htmx asks for the live part alone."""
    return request.headers.get("HX-Target") == LIVE


def _live(request: HttpRequest, text: SafeString, tag: str) -> dict[str, Any]:
    return {"address": request.get_full_path(), "part": text, "tag": tag}
