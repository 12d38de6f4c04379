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

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

from mlops_platform.api.answers.streams import StreamResponse
from mlops_platform.api.throttling.addresses import CLIENT

REQUEST_ID_HEADER = "X-Request-ID"
REQUEST_LINE = "%(method)s %(path)s %(status)s in %(ms)s ms"
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_QUIET_PATHS = re.compile(r"/(healthz|readyz|metrics)/?")  # asked every few seconds by machines

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
cycle_id: ContextVar[str | None] = ContextVar("cycle_id", default=None)
http_request: ContextVar[HttpRequest | None] = ContextVar("http_request", default=None)
"""The request that is under way: events name its user."""

requests = logging.getLogger("mlops_platform.requests")


class ContextFilter(logging.Filter):
    """Adds the ids that are bound where the line is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        for variable in (request_id, cycle_id):
            value = variable.get()
            if value is not None:
                setattr(record, variable.name, value)
        # Django hands the whole request to some lines, and its text contains the query string.
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
    """Gives each request an id (the caller's, if it is well-formed) and logs one line about it.

    The web server logs the line of a stream, whose answer it knows later.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get(REQUEST_ID_HEADER, "")
        identifier = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        token, of_request = request_id.set(identifier), http_request.set(request)
        started = time.perf_counter()
        try:
            response = self.get_response(request)
            response.headers[REQUEST_ID_HEADER] = identifier
            level = logging.DEBUG if _QUIET_PATHS.fullmatch(request.path) else logging.INFO
            user = request.__dict__.get("user")
            if isinstance(user, SimpleLazyObject):  # loading the user here would cost a query
                user = request.__dict__.get("_cached_user")
            key = getattr(user, "pk", None)
            api_key = getattr(user, "api_key", None)
            facts = {
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                "ms": round((time.perf_counter() - started) * 1000, 1),
                "user_id": None if key is None else str(key),
                **({} if api_key is None else {"api_key": api_key}),
                "client": request.META.get(CLIENT) or request.META.get("REMOTE_ADDR"),
            }
            if isinstance(response, StreamResponse) and response.on_loop:
                response.request_facts = {**facts, "request_id": identifier}
            else:
                requests.log(level, REQUEST_LINE, facts, extra=facts)
        finally:
            request_id.reset(token)
            http_request.reset(of_request)
        return response


class PlainFormatter(logging.Formatter):
    """Lines for a person at a terminal, which no caller's control characters reach."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = _escaped(record.message, but="")
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return _escaped(super().formatException(ei), but="\n\t")


def _escaped(text: str, but: str) -> str:
    """`text` with what would move a terminal's cursor, or reorder its line, written as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in but else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


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
        "plain": {
            "()": "mlops_platform.logs.PlainFormatter",
            "fmt": "{levelname:.1} {name}: {message}",
            "style": "{",
        },
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
        # These log once a task, or once a request, what our own lines say better.
        "celery.worker.strategy": _level("WARNING"),
        "celery.app.trace": _level("WARNING"),
        "django.request": _level("ERROR"),
        # Anonymous callers can write these at will, each with a trace; the request's line says 400.
        **{
            f"django.security.{name}": _level("CRITICAL")
            for name in ("DisallowedHost", "RequestDataTooBig", "TooManyFieldsSent")
        },
        "uvicorn.error": _level("ERROR"),  # below: each request that is none
        "gunicorn.error": _level("WARNING"),
        "gunicorn.access": _level("CRITICAL"),  # would log query strings
        # Django gives these handlers of their own; ours is the only one.
        "django": {"handlers": [], "level": "NOTSET", "propagate": True},
        "django.server": {"handlers": [], "level": "NOTSET", "propagate": True},
    },
}
