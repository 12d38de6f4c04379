"""Creating Pods, and what the API server's objections mean."""

import re
from collections.abc import Sequence

from deployments.runtimes.base import Code, Problem, RefusedError, RuntimeUnavailable
from deployments.runtimes.kubernetes.api import TRIES, Api, Refusal
from deployments.runtimes.kubernetes.names import IDENTITY, Json, labels_of

# A 403 is one of two: we may not, which others can mend, or admission does not want this Pod.
_NOT_ALLOWED = re.compile(
    r'forbidden: User "|is being terminated|error looking up service account', re.IGNORECASE
)
_NO_ROOM = "exceeded quota"


def try_out(api: Api, namespace: str, pods: Sequence[Json]) -> None:
    """Lets the API server judge the first of Pods that differ in their number and node alone.

    Validation, admission and quota all have their say, and nothing is kept. Raises RefusedError.
    """
    _create(api, namespace, pods[0], dry_run="All")


def create(api: Api, namespace: str, pod: Json) -> None:
    """Creates it, unless it is there. One that is going already belongs to the same attempt.

    Raises RefusedError, also where something that is not ours has its name.
    """
    for _ in range(TRIES):
        if _create(api, namespace, pod):
            return
        there = read(api, namespace, pod["metadata"]["name"])
        if there is None:
            continue  # gone in between
        if _identity(there) != _identity(pod):
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
    """Whether it was not there before."""
    for _ in range(TRIES):
        try:
            api.call("create_namespaced_pod", namespace, pod, **options)
            return True
        except Refusal as refusal:
            if refusal.status != 409:
                raise objection(refusal) from refusal
            if refusal.reason == "AlreadyExists":
                return False
            # A "Conflict": others were counted in the quota at the same moment. Ask again.
    raise RuntimeUnavailable("Too many Pods are created in this namespace at the same time.")


def objection(refusal: Refusal) -> Exception:
    """What the refusal of a Pod means for its launch_spec."""
    said = refusal.message
    if refusal.status in {400, 422}:
        return RefusedError(Problem(Code.REFUSED, said))
    if refusal.status == 403 and not _NOT_ALLOWED.search(said):
        code = Code.UNSCHEDULABLE if _NO_ROOM in said else Code.REFUSED
        return RefusedError(Problem(code, said))
    return refusal


def _identity(pod: Json) -> dict[str, str | None]:
    labels = labels_of(pod)
    return {name: labels.get(name) for name in IDENTITY}
