"""Tells what is final about a bucket from what may pass."""

import errno

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ParamValidationError,
    SSLError,
)
from botocore.exceptions import ConnectionError as NoConnection

from deployments.fetch import guard

LONGEST = 400
MAY_PASS = (408, 412, 425, 429)  # 412: an object has changed since it was listed
FULL = (errno.ENOSPC, errno.EDQUOT)


class Failed(Exception):  # noqa: N818 - it is a sentence for users
    """Why no further try can succeed."""


class Delayed(Exception):  # noqa: N818 - it is a sentence for users
    """Why this try has failed; the next one may succeed."""


def fault_of(error: Exception, what: str) -> Failed | Delayed:
    """The fault in words, with `what` was asked for; credentials are in none of the errors."""
    if isinstance(error, Failed | Delayed):
        return error
    if guard.refused():
        return Failed(f"{what}: {guard.refused()}")
    if isinstance(error, ClientError):
        answer = error.response
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
        code = str(answer.get("Error", {}).get("Code") or status)
        message = str(answer.get("Error", {}).get("Message") or "")
        said = _sentence(what, f"{code}: {message}" if message else code)
        is_final = 400 <= status < 500 and status not in MAY_PASS
        return Failed(said) if is_final else Delayed(said)
    said = _sentence(what, str(error) or type(error).__name__)
    if isinstance(error, SSLError | ParamValidationError):
        return Failed(said)
    if isinstance(error, NoConnection | HTTPClientError | IncompleteReadError):
        return Delayed(said)
    if isinstance(error, OSError) and error.errno in FULL:
        return Delayed(_sentence(what, "the node's disk is full"))
    if isinstance(error, OSError) and error.filename is not None:
        said = _sentence(what, f"no file can have its name ({error.strerror})")
    return Failed(said) if isinstance(error, BotoCoreError | OSError) else Delayed(said)


def _sentence(what: str, said: str) -> str:
    line = " ".join(f"{what}: {said}".split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
