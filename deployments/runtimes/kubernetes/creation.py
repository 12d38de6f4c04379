"""Creates Pods, and tells final refusals of the API server from others."""

import re
from collections.abc import Sequence

from deployments.runtimes.base import Code, Problem, RefusedError, RuntimeUnavailable
from deployments.runtimes.kubernetes.api import TRIES, Api, Refusal
from deployments.runtimes.kubernetes.names import IDENTITY, Json, labels_of

# A 403 means either that the account lacks a permission, which its operators can grant, or that
# admission rejects this Pod.
_NOT_ALLOWED = re.compile(
    r'forbidden: User "|is being terminated|error looking up service account', re.IGNORECASE
)
_NO_SPACE = "exceeded quota"


def try_out(api: Api, namespace: str, pods: Sequence[Json]) -> None:
    """Create the first of the Pods as a dry run; the others differ in number and node alone.

    Validation, admission and quota run, and nothing is stored. Raises RefusedError.
    """
    _create(api, namespace, pods[0], dry_run="All")


def create(api: Api, namespace: str, pod: Json) -> None:
    """Create the Pod, unless it exists. A terminating Pod belongs to the same attempt.

    Raises RefusedError, also if a Pod of others has its name.
    """
    for _ in range(TRIES):
        if _create(api, namespace, pod):
            return
        existing = read(api, namespace, pod["metadata"]["name"])
        if existing is None:
            continue  # it was deleted in between
        if _identity(existing) != _identity(pod):
            name = pod["metadata"]["name"]
            raise RefusedError(Problem(Code.REFUSED, f"A Pod {name} that is not ours is there."))
        return
    raise RuntimeUnavailable("The Pod can neither be created nor found.")


def read(api: Api, namespace: str, name: str) -> Json | None:
    try:
        return api.call("read_namespaced_pod", name, namespace)
    except Refusal as refusal:
        if refusal.status == 404:
            return None
        raise


def _create(api: Api, namespace: str, pod: Json, **options: str) -> bool:
    """False if a Pod of that name exists."""
    for _ in range(TRIES):
        try:
            api.call("create_namespaced_pod", namespace, pod, **options)
            return True
        except Refusal as refusal:
            if refusal.status != 409:
                raise objection(refusal) from refusal
            if refusal.reason == "AlreadyExists":
                return False
            # A "Conflict": the quota was updated for other Pods at the same moment. Try again.
    raise RuntimeUnavailable("Too many Pods are created in this namespace at the same time.")


def objection(refusal: Refusal) -> Exception:
    """RefusedError if the refusal of a Pod is final, else the refusal itself."""
    message = refusal.message
    if refusal.status in {400, 422}:
        return RefusedError(Problem(Code.REFUSED, message))
    if refusal.status == 403 and not _NOT_ALLOWED.search(message):
        code = Code.UNSCHEDULABLE if _NO_SPACE in message else Code.REFUSED
        return RefusedError(Problem(code, message))
    return refusal


def _identity(pod: Json) -> dict[str, str | None]:
    labels = labels_of(pod)
    return {name: labels.get(name) for name in IDENTITY}
