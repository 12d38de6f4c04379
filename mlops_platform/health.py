"""What monitoring reads: liveness, readiness and metrics."""

import hmac
from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_exempt
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from deployments import pull_counts
from mlops_platform.api.errors import method_not_allowed
from mlops_platform.coordination.redis import redis_client
from mlops_platform.environment.database import try_again
from scheduler import freshness
from scheduler import metrics as scheduler_metrics

PROOF_TTL_S = 10  # of the key that proves that Redis takes writes
LOOPBACK = ("127.0.0.1", "::1")


def for_reading(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Allows GET and HEAD. Other methods get the API's 405, not an error about a CSRF token, which
    no view here needs."""

    @csrf_exempt
    @wraps(view)
    def wrapped(request: HttpRequest, **path: str) -> HttpResponse:
        if request.method in ("GET", "HEAD"):
            return view(request, **path)
        return method_not_allowed(request, ("GET", "HEAD"))

    return wrapped


@for_reading
def front(request: HttpRequest) -> HttpResponse:
    """The front page leads people to the console, and programs to Swagger UI."""
    is_browser = "text/html" in request.headers.get("Accept", "")
    answer = redirect("console:home" if is_browser else "swagger")
    answer["Vary"] = "Accept"
    return answer


@for_reading
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the process answers; `readyz` checks PostgreSQL and Redis."""
    return JsonResponse({"status": "ok"})


@for_reading
def readyz(request: HttpRequest) -> JsonResponse:
    """200 while PostgreSQL answers, 503 otherwise. Submits work without Redis and without the
    scheduler, so a Redis that is away, or takes no writes, and a scheduler that does not answer
    show in the body alone: no other web process would do better."""
    ready = _answers(_ask_postgresql)
    problems = _problems_of_scheduler() if ready else []
    checks = {"postgresql": ready, "redis": _answers(_ask_redis)}
    checks["scheduler"] = ready and not problems
    body = {
        "status": "ok" if all(checks.values()) else "degraded" if ready else "unavailable",
        "checks": {name: "ok" if fine else "away" for name, fine in checks.items()},
        "problems": problems,
    }
    return JsonResponse(body, status=200 if ready else 503)


def _problems_of_scheduler() -> list[str]:
    try:
        return freshness.read().problems
    except (DatabaseError, InterfaceError):
        return ["Whether the scheduler answers could not be read."]


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except Exception:  # any error means that it does not answer
        return False
    return True


def _ask_postgresql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _ask_redis() -> None:
    redis_client().set("readyz", "1", ex=PROOF_TTL_S)


@for_reading
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format.

    Metrics show every organization's queues, so reading them needs METRICS_TOKEN as a bearer token;
    where it is unset, only this machine may read them.
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
        registry.register(_Pulls())
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
    except (DatabaseError, InterfaceError) as error:
        answer = try_again(error)
        if answer is None:
            raise
        return JsonResponse(
            {"detail": answer.detail, "code": answer.code},
            status=503,
            headers={"Retry-After": str(answer.after_s)},
        )


def _may_scrape(request: HttpRequest) -> bool:
    token = settings.METRICS_TOKEN
    if not token:
        return request.META.get("REMOTE_ADDR", "") in LOOPBACK
    given = request.headers.get("Authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {token}".encode())


class _Pulls(Collector):
    def collect(self) -> list[Metric]:
        return list(pull_counts.collect())


class _Scheduler(Collector):
    def collect(self) -> list[Metric]:
        return list(scheduler_metrics.collect())
