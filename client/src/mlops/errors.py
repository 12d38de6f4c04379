"""What a call may raise. Each error says what happened in a sentence for people."""

from __future__ import annotations

from typing import Any


class MlopsError(Exception):
    """The base of all errors of this package."""


class UnreachableError(MlopsError):
    """The platform does not answer, or goes on refusing for load after all retries."""


class NotLoggedInError(MlopsError):
    """There is no profile, or its login has ended."""


class AmbiguousError(MlopsError):
    """A name fits several; `candidates` are lines that tell them apart."""

    def __init__(self, name: str, kind: str, candidates: list[str]) -> None:
        super().__init__(f"{name!r} fits {len(candidates)} {kind}: name one by its id.")
        self.candidates = candidates


class NothingFitsError(MlopsError):
    """A name, a prefix of an id or a glob fits nothing that the user may see."""


class JobFileError(MlopsError):
    """A job file cannot be read; the sentence names the file and the field."""


class ApiError(MlopsError):
    """The platform refused a call.

    `code` is a stable token such as `not_found`, `detail` a sentence, and `fields` names the
    faulty fields of the body with a list of sentences each.
    """

    def __init__(self, status: int, code: str, detail: str, fields: dict[str, Any]) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = fields

    def __str__(self) -> str:
        if not self.fields:
            return self.detail
        return "\n".join([self.detail, *(f"  {line}" for line in self.sentences())])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.status}, {self.code!r}, {self.detail!r})"

    def sentences(self) -> list[str]:
        """One line for each faulty field: `required_gpu: has to be at least 0`."""
        return [f"{name}: {_joined(texts)}" for name, texts in self.fields.items()]


class NotFoundError(ApiError):
    """404: there is no such thing, or the user may not see it."""


class NotAuthenticatedError(ApiError):
    """401: the token is missing, has expired or was revoked."""


class BusyError(ApiError, UnreachableError):
    """429 or 503, also after all retries: `retry_after_s` says when to try again, where known."""

    retry_after_s: float | None = None


_KINDS: dict[int, type[ApiError]] = {
    401: NotAuthenticatedError,
    404: NotFoundError,
    429: BusyError,
    503: BusyError,
}


def of_answer(status: int, body: Any, retry_after: str | None = None) -> ApiError:
    """The error that an answer with a status of 400 or more means; `body` is its JSON or text."""
    known = body if isinstance(body, dict) else {}
    code = str(known.get("code", f"http_{status}"))
    detail = str(known.get("detail") or f"The server answered {status}.")
    fields = known.get("fields")
    error = _KINDS.get(status, ApiError)(
        status, code, detail, fields if isinstance(fields, dict) else {}
    )
    if isinstance(error, BusyError) and retry_after is not None and retry_after.isdigit():
        error.retry_after_s = float(retry_after)
    return error


def _joined(texts: Any) -> str:
    if isinstance(texts, dict):
        return " ".join(f"{name}: {_joined(each)}" for name, each in texts.items())
    return " ".join(str(text) for text in texts) if isinstance(texts, list) else str(texts)
