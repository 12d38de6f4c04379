"""One shape for every error: `{"detail": sentence, "code": token}`, field errors under `fields`.

An answer names MOST_FAULTS faults at most: a request of many faults must not cost much to refuse.

Services raise these; the handler turns them, DRF's own and PostgreSQL's absence into answers.
Any other exception is a bug: it is logged with its trace and answered without one.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, cast

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions, status
from rest_framework.response import Response

from mlops_platform.environment.database import BUSY as BUSY
from mlops_platform.environment.database import try_again as try_again

logger = logging.getLogger(__name__)

JSON = "application/json"  # an error's type, whichever the call has
FAULTY = "The request has faults; see fields."
MOST_FAULTS = 20
VERY_FAULTY = f"The request has many faults; see fields for the first {MOST_FAULTS}."
THE_FIRST = f"The first {MOST_FAULTS} are in fields."
LONGEST_SENTENCE = 500
LONGEST_NAME = 100
SERVER_ERROR = "Something went wrong on our side; it has been logged."
NOT_FOUND = "There is nothing here, or it is not yours to see."


class Conflict(exceptions.APIException):
    """409: the request is sound, but not in the state that things are in."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "This conflicts with the present state."
    default_code = "conflict"


class Invalid(exceptions.ValidationError):
    """400 that names the fields: `Invalid({"replicas": "Must be 1 or more."})`."""

    def __init__(self, fields: Mapping[str, str], code: str = "invalid") -> None:
        super().__init__({name: [sentence] for name, sentence in fields.items()}, code=code)
        self.code = code  # the body's own, for a caller's program that tells faults apart


def not_found() -> exceptions.NotFound:
    """404 for what does not exist and for what the user may not see: the two look alike."""
    return exceptions.NotFound(NOT_FOUND)


def refuse_items(name: str, faults: Mapping[int, tuple[exceptions.APIException, str]]) -> None:
    """Raise one error for a list's faulty items: `{name: {"3": {field: [sentence]}}}`.

    `faults` has each item's error, and the field to blame where the error names none. Where the
    errors differ in kind, the answer has the first kind of 404, 403, 400 and 409.
    """
    for status_code in (404, 403, 400, 409):
        found = {n: fault for n, fault in faults.items() if fault[0].status_code == status_code}
        if not found:
            continue
        fields = {name: {str(n): _fields(*fault) for n, fault in found.items()}}
        if status_code == status.HTTP_400_BAD_REQUEST:
            raise exceptions.ValidationError(fields)
        first, _ = next(iter(found.values()))
        first.fields = fields  # type: ignore[attr-defined]  # read by _body
        raise first


def _fields(error: exceptions.APIException, blamed: str) -> Any:
    return error.detail if isinstance(error.detail, dict) else {blamed: [str(error.detail)]}


def answer_exception(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER. None (a 500 further up) only for what is a bug."""
    if isinstance(error, Http404 | ObjectDoesNotExist):  # the latter: gone since it was looked up
        error = not_found()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif (answer := try_again(error)) is not None:
        # One line without a trace: while the database is away, there is one for every call.
        level = logging.WARNING if answer is BUSY else logging.ERROR
        logger.log(level, answer.code, extra={"error": str(error)})
        _roll_back()
        return Response(
            {"detail": answer.detail, "code": answer.code},
            status=status.HTTP_503_SERVICE_UNAVAILABLE,
            headers={"Retry-After": str(answer.after_s)},
            content_type=JSON,
        )
    if not isinstance(error, exceptions.APIException):
        return None
    if isinstance(error, exceptions.NotAuthenticated) and _bare_token(context.get("request")):
        error.detail = exceptions.ErrorDetail(
            "Write the word Bearer and a space before the token.", "not_authenticated"
        )
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header  # type: ignore[attr-defined]  # set by DRF
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(int(wait) + 1)
    return Response(_body(error), status=error.status_code, headers=headers, content_type=JSON)


def _bare_token(request: Any) -> bool:
    """Whether an Authorization header came that names no scheme: a token pasted alone."""
    given = str(request.META.get("HTTP_AUTHORIZATION", "")) if request is not None else ""
    is_token = given.count(".") == 2 or given.startswith("mlops_")  # a JWT's parts; an API key
    return is_token and " " not in given.strip()


def _roll_back() -> None:
    if transaction.get_connection().in_atomic_block:
        transaction.set_rollback(True)


def _body(error: exceptions.APIException) -> dict[str, Any]:
    detail = error.detail
    if isinstance(error, exceptions.ValidationError):
        if isinstance(detail, list):
            return {"detail": _joined(detail), "code": _first_code(detail)}
        fields = dict(cast(dict[str, Any], detail))
        whole = fields.pop("non_field_errors", None)
        if whole and not fields:
            return {"detail": _joined(whole), "code": "invalid"}
        return _naming(fields, FAULTY, getattr(error, "code", "invalid"))
    if isinstance(detail, dict):  # simplejwt answers {"detail", "code", "messages"}
        return {"detail": str(detail.get("detail", error.default_detail)), "code": _code_of(detail)}
    said, code = _sentence(detail), getattr(detail, "code", error.default_code)
    if hasattr(error, "fields"):
        return _naming(error.fields, said, code)
    return {"detail": said, "code": code}


def _naming(fields: dict[str, Any], detail: str, code: str) -> dict[str, Any]:
    """The body that names the fields at fault, the first MOST_FAULTS of them."""
    first = _First()
    shown = first.of(fields)
    if first.cut:
        detail = VERY_FAULTY if detail == FAULTY else f"{detail} {THE_FIRST}"
    return {"detail": detail, "code": code, "fields": shown}


class _First:
    """Copies lists of sentences, nested by name or index where the field nests, until it has
    MOST_FAULTS sentences; `cut` where there are more."""

    def __init__(self) -> None:
        self._left, self.cut = MOST_FAULTS, False

    def of(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                str(name)[:LONGEST_NAME]: self.of(_listed(each))
                for name, each in self._some(value.items())
            }
        if isinstance(value, list):
            return [self.of(each) for each in self._some(value)]
        self._left -= 1
        return _sentence(value)

    def _some(self, values: Iterable[Any]) -> Iterator[Any]:
        for each in values:
            if self._left <= 0:
                self.cut = True
                return
            yield each


def _listed(value: Any) -> Any:
    return value if isinstance(value, dict | list) else [value]


def _sentence(said: Any) -> str:
    """A sentence may repeat what was sent, which may be long."""
    text = str(said)
    return text if len(text) <= LONGEST_SENTENCE else f"{text[: LONGEST_SENTENCE - 1]}…"


def _joined(sentences: Iterable[Any]) -> str:
    return " ".join(_sentence(each) for each in islice(sentences, MOST_FAULTS))


def _code_of(detail: Mapping[str, Any]) -> str:
    return str(detail.get("code", "invalid"))


def _first_code(detail: list[Any]) -> str:
    return str(getattr(detail[0], "code", "invalid")) if detail else "invalid"


def _answer(status_code: int, detail: str, code: str) -> JsonResponse:
    return JsonResponse({"detail": detail, "code": code}, status=status_code)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    return _answer(400, "The request cannot be read.", "bad_request")


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    return _answer(403, "You may not do this.", "permission_denied")


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    return _answer(404, NOT_FOUND, "not_found")


def method_not_allowed(request: HttpRequest, allowed: Iterable[str]) -> JsonResponse:
    answer = _answer(405, f'Method "{request.method}" not allowed.', "method_not_allowed")
    answer["Allow"] = ", ".join(allowed)
    return answer


def server_error(request: HttpRequest) -> JsonResponse:
    """Django calls this while it handles the exception of a view that is none of DRF's."""
    error = sys.exc_info()[1]
    if isinstance(error, Exception) and (answer := try_again(error)) is not None:
        response = _answer(503, answer.detail, answer.code)
        response["Retry-After"] = str(answer.after_s)
        return response
    return _answer(500, SERVER_ERROR, "internal_error")
