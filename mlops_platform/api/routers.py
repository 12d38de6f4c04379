"""The router of the API: the URL patterns of a viewset follow from its methods and `@action`s."""

from rest_framework.routers import Route, SimpleRouter


class ApiRouter(SimpleRouter):
    """Writes paths without a trailing slash (see middleware.py) and with Django's converters.

    A resource below another is registered with the other's path as its prefix:
    `register("clusters/<uuid:cluster_id>/nodes", NodeViewSet)`. An older client stops a deployment
    by a POST to its own path, for which DRF has no method; here it is `stop_of_cluster`.
    """

    routes = [
        route._replace(mapping={**route.mapping, "post": "stop_of_cluster"})
        if isinstance(route, Route) and route.detail
        else route
        for route in SimpleRouter.routes
    ]

    def __init__(self) -> None:
        super().__init__(trailing_slash=False, use_regex_path=False)
