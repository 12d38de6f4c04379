"""The router of the API: the URL patterns of a viewset follow from its methods and `@action`s."""

from uuid import UUID

from django.urls import register_converter
from rest_framework.routers import Route, SimpleRouter

from mlops_platform.api.ids import parse_uuid


class IdOrName:
    """A part of a path: a UUID, or the text of a name, which the viewset resolves (viewsets.py).

    What looks like an id is one, also where a thing has such a name.
    """

    regex = "[^/]+"

    def to_python(self, value: str) -> UUID | str:
        return parse_uuid(value) or value

    def to_url(self, value: UUID | str) -> str:
        return str(value)


ID_OR_NAME = "id_or_name"
register_converter(IdOrName, ID_OR_NAME)


class ApiRouter(SimpleRouter):
    """Writes paths without a trailing slash (see headers.py) and with Django's converters.

    A resource below another is registered with the other's path as its prefix:
    `register("clusters/<id_or_name:cluster_id>/nodes", NodeViewSet)`. An older client stops a
    deployment by a POST to its own path, for which DRF has no method; here it is `stop_of_cluster`.
    """

    routes = [
        route._replace(mapping={**route.mapping, "post": "stop_of_cluster"})
        if isinstance(route, Route) and route.detail
        else route
        for route in SimpleRouter.routes
    ]

    def __init__(self) -> None:
        super().__init__(trailing_slash=False, use_regex_path=False)
