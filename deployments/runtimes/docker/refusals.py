"""Tells final refusals of an engine from errors that may pass."""

import re

from deployments.runtimes.base import Code, ImageMissing, Problem, RefusedError
from deployments.runtimes.docker.client import Answered

LARGER_THAN_ITS_NODE = re.compile("range of cpus is from", re.IGNORECASE)


def raise_if_final(error: Answered, image: str = "") -> None:
    """Raise ImageMissing or RefusedError where the engine's answer is final."""
    if error.status == 404 and "no such image" in str(error).lower():
        raise ImageMissing(image) from error
    if error.status == 400 and LARGER_THAN_ITS_NODE.search(str(error)):
        raise RefusedError(Problem(Code.UNSCHEDULABLE, str(error))) from error
    if error.status in {400, 404, 422}:
        raise RefusedError(Problem(Code.REFUSED, str(error))) from error
