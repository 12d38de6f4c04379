"""Makes both spellings of a path one, and refuses large bodies, before a view is reached."""

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

MACHINE_PATHS = re.compile(r"/(api/.*[^/]|healthz|readyz|metrics|(swagger|openapi)\.(json|yaml))/")


class ApiPathMiddleware:
    """Paths for programs answer with and without a trailing slash; a body has a size limit.

    The URL patterns are written once, without the slash.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if MACHINE_PATHS.fullmatch(request.path_info):
            request.path_info = request.path_info[:-1]
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            length = 0
        if length > settings.MAX_BODY_BYTES:
            limit = settings.MAX_BODY_BYTES // 1024
            return JsonResponse(
                {"detail": f"A body may have {limit} KiB at most.", "code": "too_large"}, status=413
            )
        return self.get_response(request)
