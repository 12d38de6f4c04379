"""Answers without a thread: they only pass those middlewares that give headers and log requests."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import split_domain_port, validate_host
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware

from mlops_platform.headers import SafetyMiddleware
from mlops_platform.logs import RequestIdMiddleware
from mlops_platform.web.messages import Answer, Head
from mlops_platform.web.wsgi_call import encoded, environ_of

ALIVE = ("/healthz", "/healthz/")
PREPARED = "mlops_platform.prepared"


def is_liveness(head: Head) -> bool:
    """Whether this is a probe that needs no thread; Django refuses other methods and hosts.

    Load balancers and kubelets call a process by its address, which ALLOWED_HOSTS does not name.
    The answer has no link in it, so any address will do.
    """
    if head.path not in ALIVE or head.method not in ("GET", "HEAD"):
        return False
    domain, _ = split_domain_port(head.headers.get("host", ""))
    return bool(domain) and (validate_host(domain, settings.ALLOWED_HOSTS) or _is_address(domain))


def _is_address(domain: str) -> bool:
    try:
        ip_address(domain.strip("[]"))
    except ValueError:
        return False
    return True


def alive(head: Head) -> Answer:
    return answer(head, JsonResponse({"status": "ok"}))


def refusal(
    head: Head, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """An error in the API's shape."""
    return answer(
        head, JsonResponse({"detail": detail, "code": code}, status=status, headers=headers)
    )


def answer(head: Head, prepared: HttpResponse) -> Answer:
    request = WSGIRequest(environ_of(head, b""))
    request.META[PREPARED] = prepared
    response = _chain(request)
    response.headers["Content-Length"] = str(len(response.content))
    return Answer(response.status_code, encoded(list(response.headers.items())), [response.content])


def _prepared(request: HttpRequest) -> HttpResponse:
    response: HttpResponse = request.META[PREPARED]
    return response


_guard: Any = SecurityMiddleware(XFrameOptionsMiddleware(_prepared))
_chain: Any = RequestIdMiddleware(
    SafetyMiddleware(convert_exception_to_response(_guard))  # type: ignore[arg-type]  # not async
)
