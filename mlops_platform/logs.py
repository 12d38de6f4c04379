"""Structured logs: one JSON object a line, with the ids of the request and of the scheduling cycle.

The web server, the workers and the commands all log through `LOGGING`, to standard error. Bodies,
query strings, headers and tokens are never logged. LOG_FORMAT=plain is for a person at a terminal.
"""

import logging
import logging.config
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

REQUEST_ID_HEADER = "X-Request-ID"
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_QUIET_PATHS = re.compile(r"/(healthz|readyz|metrics)/?")  # asked every few seconds by machines

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
cycle_id: ContextVar[str | None] = ContextVar("cycle_id", default=None)

requests = logging.getLogger("mlops_platform.requests")


class ContextFilter(logging.Filter):
    """Adds the ids that are bound where the line is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        for variable in (request_id, cycle_id):
            value = variable.get()
            if value is not None:
                setattr(record, variable.name, value)
        # Django hands the whole request to some lines, and its text holds the query string.
        record.__dict__.pop("request", None)
        return True


@contextmanager
def bind_cycle(cycle: uuid.UUID) -> Iterator[None]:
    """Put this scheduling cycle's id on every line logged in the block."""
    token = cycle_id.set(str(cycle))
    try:
        yield
    finally:
        cycle_id.reset(token)


class RequestIdMiddleware:
    """Gives each request an id (the caller's, if it is well-formed) and logs one line about it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get(REQUEST_ID_HEADER, "")
        identifier = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        token = request_id.set(identifier)
        started = time.perf_counter()
        try:
            response = self.get_response(request)
            response.headers[REQUEST_ID_HEADER] = identifier
            level = logging.DEBUG if _QUIET_PATHS.fullmatch(request.path) else logging.INFO
            ms = round((time.perf_counter() - started) * 1000, 1)
            user = request.__dict__.get("user")
            if isinstance(user, SimpleLazyObject):  # loading the user here would cost a query
                user = request.__dict__.get("_cached_user")
            key = getattr(user, "pk", None)
            facts = {
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                "ms": ms,
                "user_id": None if key is None else str(key),
            }
            line = "%s %s %s in %s ms"
            requests.log(
                level, line, request.method, request.path, facts["status"], ms, extra=facts
            )
        finally:
            request_id.reset(token)
        return response


def configure() -> None:
    """Set logging up in a process that Django has not set up, such as a Celery worker."""
    logging.config.dictConfig(LOGGING)


def _level(name: str) -> dict[str, str]:
    return {"level": name}


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"context": {"()": "mlops_platform.logs.ContextFilter"}},
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": "{levelname}{name}{message}",
            "style": "{",
            "rename_fields": {"levelname": "level", "name": "logger"},
            "timestamp": "time",
        },
        "plain": {"format": "{levelname:.1} {name}: {message}", "style": "{"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "plain" if os.environ.get("LOG_FORMAT") == "plain" else "json",
            "filters": ["context"],
        }
    },
    "root": {"level": os.environ.get("LOG_LEVEL", "INFO").upper(), "handlers": ["console"]},
    "loggers": {
        # These log once a second, or once a request, what our own lines say better.
        "celery.beat": _level("WARNING"),
        "celery.worker.strategy": _level("WARNING"),
        "celery.app.trace": _level("WARNING"),
        "django.request": _level("ERROR"),
        "gunicorn.error": _level("WARNING"),
        "gunicorn.access": _level("CRITICAL"),  # would log query strings
        # Django gives these handlers of their own; ours is the only one.
        "django": {"handlers": [], "level": "NOTSET", "propagate": True},
        "django.server": {"handlers": [], "level": "NOTSET", "propagate": True},
    },
}
