"""For machines that watch: is it alive, can it serve, how is it doing."""

import hmac
from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_exempt
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from mlops_platform.api.errors import method_not_allowed
from mlops_platform.api.redis import redis_client
from scheduler import metrics as scheduler_metrics

LOOPBACK = ("127.0.0.1", "::1")


def for_reading(view: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    """GET and HEAD. Other methods are told so as the API tells it, and not of a missing CSRF token,
    which nothing here could want."""

    @csrf_exempt
    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request)
        return method_not_allowed(request, ("GET", "HEAD"))

    return wrapped


@for_reading
def front(request: HttpRequest) -> HttpResponse:
    """Whoever comes without knowing where to go is shown what there is."""
    return redirect("swagger")


@for_reading
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers; whether PostgreSQL and Redis do is readyz's question."""
    return JsonResponse({"status": "ok"})


@for_reading
def readyz(request: HttpRequest) -> JsonResponse:
    """200 while PostgreSQL answers, 503 otherwise. Redis away is told, but submits still work."""
    checks = {"postgresql": _answers(_ask_postgresql), "redis": _answers(_ask_redis)}
    ready = checks["postgresql"]
    body = {
        "status": "ok" if all(checks.values()) else "degraded" if ready else "unavailable",
        "checks": {name: "ok" if fine else "away" for name, fine in checks.items()},
    }
    return JsonResponse(body, status=200 if ready else 503)


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except Exception:  # whatever it is, it does not answer
        return False
    return True


def _ask_postgresql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _ask_redis() -> None:
    redis_client().ping()


@for_reading
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format. They tell of every organization's queues, so not for everybody:
    with METRICS_TOKEN set, for whoever bears it; otherwise for this machine alone.
    """
    if not _may_scrape(request):
        return JsonResponse(
            {
                "detail": "Metrics need the bearer token of METRICS_TOKEN.",
                "code": "not_authenticated",
            },
            status=401,
            headers={"WWW-Authenticate": "Bearer"},
        )
    registry = CollectorRegistry()
    try:
        registry.register(_Scheduler())
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
    except (OperationalError, InterfaceError):
        return JsonResponse(
            {"detail": "The database is away; try again soon.", "code": "database_unavailable"},
            status=503,
            headers={"Retry-After": "5"},
        )


def _may_scrape(request: HttpRequest) -> bool:
    token = settings.METRICS_TOKEN
    if not token:
        return request.META.get("REMOTE_ADDR", "") in LOOPBACK
    given = request.headers.get("Authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


class _Scheduler(Collector):
    def collect(self) -> list[Metric]:
        return list(scheduler_metrics.collect())
