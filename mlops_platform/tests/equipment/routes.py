"""Every call that the platform answers, read from the URL patterns and not from a list.

What a test does "for every route" so covers a route on the day it is added. Pages are left out:
Django owns the admin's, and those of the console and of sign-on have tests of their own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.urls import URLPattern, get_resolver
from rest_framework.serializers import BaseSerializer

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True, order=True)
class Route:
    """One method of one path; `path` is written `/api/clusters/{cluster_id}`."""

    path: str
    method: str
    serializer: type[BaseSerializer] | None = field(compare=False)
    """Of the body, where it takes one."""
    pages: bool = field(compare=False)
    """Whether it answers a list, page by page."""
    is_open: bool = field(compare=False)
    """Whether it asks for no token."""
    role: str | None = field(compare=False)
    """The role that the viewset's table names; None where there is none."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def every_route() -> list[Route]:
    return sorted(_routes(get_resolver().url_patterns, "/"))


def api_routes() -> list[Route]:
    return [route for route in every_route() if route.path.startswith("/api/")]


def routes_with_a_body() -> list[Route]:
    return [route for route in every_route() if route.serializer is not None]


def every_path() -> dict[str, set[str]]:
    """The methods of each path."""
    paths: dict[str, set[str]] = {}
    for route in every_route():
        paths.setdefault(route.path, set()).add(route.method)
    return paths


def _routes(patterns: list[Any], prefix: str) -> Iterator[Route]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if path in ("/admin/", "/console/", "/sign-on/"):
            continue
        if isinstance(pattern, URLPattern):
            yield from _of(_CONVERTER.sub(r"{\1}", path), pattern.callback)
        else:
            yield from _routes(pattern.url_patterns, path)


def _of(path: str, view: Any) -> Iterator[Route]:
    actions = getattr(view, "actions", None)
    if actions is None:
        # Swagger's and the probes' pages are no viewsets; all others are, and name their methods.
        assert not path.startswith("/api/"), f"{path}: its methods are not known; use a viewset"
        yield Route(path, "GET", serializer=None, pages=False, is_open=True, role=None)
        return
    for method, action in actions.items():
        if method == "head":
            continue
        authentication = view.initkwargs.get(
            "authentication_classes", view.cls.authentication_classes
        )
        yield Route(
            path,
            method.upper(),
            serializer=view.cls.bodies.get(action),
            pages=action == "list",
            is_open=not authentication,
            role=getattr(view.cls, "roles", {}).get(action),
        )
