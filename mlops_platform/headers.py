"""What holds for all requests and answers: headers that limit what browsers and caches may do with
an answer, one spelling of paths, and a limit of bodies."""

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

# Swagger UI and the admin bring their scripts as files; Swagger UI sets style attributes and draws
# with `data:` images. Nothing is fetched from elsewhere, and no page may frame ours.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
# The console's styles and scripts are files, all of them.
STRICT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
CONSOLE = "/console/"

MACHINE_PATHS = re.compile(r"/(api/.*[^/]|healthz|readyz|metrics|(swagger|openapi)\.(json|yaml))/")


class SafetyMiddleware:
    """Gives every answer a content security policy; answers of the API, which may carry tokens, and
    of the console are never stored. Bodies have a size limit.

    Paths for programs answer with and without a trailing slash: the URL patterns are written once,
    without it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if MACHINE_PATHS.fullmatch(request.path_info):
            request.path_info = request.path_info[:-1]
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > settings.MAX_BODY_BYTES:
            limit = settings.MAX_BODY_BYTES // 1024
            detail = f"A body may have {limit} KiB at most."
            response: HttpResponse = JsonResponse(
                {"detail": detail, "code": "too_large"}, status=413
            )
        else:
            response = self.get_response(request)
        is_console = request.path.startswith(CONSOLE)
        policy = STRICT_POLICY if is_console else CONTENT_SECURITY_POLICY
        response.setdefault("Content-Security-Policy", policy)
        if is_console or request.path.startswith("/api/"):
            response.setdefault("Cache-Control", "no-store")
        return response
