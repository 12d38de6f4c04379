"""Headers that limit what browsers and caches may do with an answer."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

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


class SafetyHeadersMiddleware:
    """Gives every answer a content security policy; API answers, which may carry tokens, are never
    stored."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        if request.path.startswith("/api/"):
            response.setdefault("Cache-Control", "no-store")
        return response
