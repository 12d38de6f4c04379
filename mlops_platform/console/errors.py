"""Refusals and faults as pages, for people with a browser; programs get those of the API."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import NotFound, PermissionDenied

from mlops_platform.api import errors as api
from mlops_platform.console.answering import whole

logger = logging.getLogger(__name__)

TITLES = {
    400: "This cannot be done so",
    403: "You may not do this",
    404: "There is nothing here",
    405: "Not this way",
    409: "Not any more",
    429: "Too much at once",
    500: "Something went wrong",
    503: "Away for a moment",
}
CONSOLE = "/console/"
UNSIGNED_FORM = (
    "The form had no valid token, which keeps other sites from pressing buttons here. Cookies must "
    "be allowed. Open the page again, and try once more."
)


class ErrorPage(NamedTuple):
    status: int
    title: str
    detail: str
    fields: tuple[tuple[str, str], ...] = ()


def answer(request: HttpRequest, error: Exception) -> HttpResponse:
    """The page for what a service or a query has raised; raises what is a bug."""
    found = api.answer_exception(error, {})
    if found is None:
        raise error
    fields = found.data.get("fields", {})
    response = _page(
        request,
        ErrorPage(
            found.status_code,
            TITLES.get(found.status_code, TITLES[400]),
            found.data["detail"],
            tuple((name.replace("_", " "), words(value)) for name, value in fields.items()),
        ),
    )
    if after := found.headers.get("Retry-After"):
        response["Retry-After"] = after
    return response


def words(value: Any) -> str:
    """The sentences of a field, at any depth."""
    if isinstance(value, Mapping):
        return " ".join(f"{name}: {words(each)}" for name, each in value.items())
    return " ".join(map(words, value)) if isinstance(value, list) else str(value)


def method_not_allowed(request: HttpRequest, allowed: Iterable[str]) -> HttpResponse:
    detail = f"{request.method} is not offered here."
    response = _page(request, ErrorPage(405, TITLES[405], detail))
    response["Allow"] = ", ".join(allowed)
    return response


# --- Django's handlers ---------------------------------------------------------------------------


def is_for_people(request: HttpRequest) -> bool:
    """Whether a page is wanted: in the console, and by a browser anywhere but in the API."""
    if request.path.startswith(CONSOLE):
        return True
    wants_page = "text/html" in request.headers.get("Accept", "")
    return wants_page and not request.path.startswith("/api/")


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if is_for_people(request):
        return answer(request, NotFound(api.NOT_FOUND))
    return api.page_not_found(request, exception)


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if is_for_people(request):
        return answer(request, PermissionDenied())
    return api.permission_denied(request, exception)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    logger.warning("csrf token refused", extra={"reason": reason, "path": request.path})
    if is_for_people(request):
        return _page(request, ErrorPage(403, TITLES[403], UNSIGNED_FORM))
    return api.permission_denied(request)


def server_error(request: HttpRequest) -> HttpResponse:
    """Without a database, or a session: the page has nothing of the user."""
    plain = api.server_error(request)
    if not is_for_people(request):
        return plain
    shown = ErrorPage(plain.status_code, TITLES[plain.status_code], api.SERVER_ERROR)
    if plain.status_code == 503:
        shown = shown._replace(detail="The database does not answer just now; try again.")
    response = _page(request, shown, bare=True)
    if "Retry-After" in plain:
        response["Retry-After"] = plain["Retry-After"]
    return response


def _page(request: HttpRequest, page: ErrorPage, *, bare: bool = False) -> HttpResponse:
    context = {"page": page, "bare": bare}
    return whole(request, "console/error.html", context, status=page.status)
