"""Deletes Pods: with which grace period, and when their finalizer goes.

Without a finalizer a kubelet's Pod goes as soon as its process has ended, in about half of all
stops before its exit code and its output have been read.
"""

from datetime import UTC, datetime, timedelta

from deployments.runtimes.kubernetes.api import TRIES, Api, Refusal
from deployments.runtimes.kubernetes.names import FINALIZER, Json

AT_ONCE_S = 1
OVERDUE = timedelta(seconds=30)


def deletion_grace_s(pod: Json, grace_s: int, now: datetime) -> int | None:
    """The grace period to delete the Pod with; None if its deletion is under way as it should.

    To kill a Pod, the period is one second, not 0. With 0 the API server forgets the Pod at once,
    while the kubelet lets its process run on, unseen, for the grace of its specification
    (kubernetes/kubernetes#120449): its space would be given away before it is free. So 0 is for
    nodes that do not answer, half a minute after the kubelet should have ended the Pod.
    """
    granted = pod["metadata"].get("deletionGracePeriodSeconds")
    wanted = max(AT_ONCE_S, grace_s)
    if granted is None:
        return wanted
    if granted == 0:
        return None  # only a finalizer keeps it
    due = datetime.fromisoformat(pod["metadata"]["deletionTimestamp"])
    if grace_s <= 0 and now > due + OVERDUE:
        return 0
    return wanted if wanted < granted else None


def is_overdue(pod: Json, now: datetime) -> bool:
    """Whether a Pod that was deleted with a grace period of 0, by others or by a stop whose release
    failed, should have been ended by its kubelet by now: nothing but finalizers keeps it, and the
    kubelet of a node that is gone never reports its end."""
    if pod["metadata"].get("deletionGracePeriodSeconds") != 0:
        return False
    deleted_at = datetime.fromisoformat(pod["metadata"]["deletionTimestamp"])
    grace = timedelta(seconds=pod["spec"].get("terminationGracePeriodSeconds") or 0)
    return now > deleted_at + grace + OVERDUE


def delete(api: Api, namespace: str, pod: Json, grace_s: int) -> int | None:
    """Delete this very Pod, and not one that was created since under the same name; returns the
    grace period that was asked for, or None."""
    period_s = deletion_grace_s(pod, grace_s, datetime.now(UTC))
    if period_s is None:
        return None
    body = {"gracePeriodSeconds": period_s, "preconditions": {"uid": pod["metadata"]["uid"]}}
    try:
        api.call("delete_namespaced_pod", pod["metadata"]["name"], namespace, body=body)
    except Refusal as refusal:
        if refusal.status not in {404, 409}:
            raise
    return period_s


def may_release(api: Api, namespace: str, name: str) -> bool:
    """Whether the account may take the finalizer from Pods, as an older manifest does not allow.

    The API server judges that before it looks for the Pod, which does not exist yet.
    """
    try:
        api.call("patch_namespaced_pod", name, namespace, {}, dry_run="All")
    except Refusal as refusal:
        return refusal.status != 403
    return True


def release(api: Api, namespace: str, pod: Json) -> None:
    """Take the platform's finalizer from this very Pod; those of others stay."""
    name = pod["metadata"]["name"]
    for _ in range(TRIES):
        finalizers = pod["metadata"].get("finalizers") or []
        if FINALIZER not in finalizers:
            return
        metadata = {
            "uid": pod["metadata"]["uid"],
            "resourceVersion": pod["metadata"]["resourceVersion"],
            "finalizers": [each for each in finalizers if each != FINALIZER],
        }
        try:
            api.call("patch_namespaced_pod", name, namespace, {"metadata": metadata})
            return
        except Refusal as refusal:
            if refusal.status == 404:
                return
            if refusal.status != 409:
                raise
        try:  # it has changed since it was read
            fresh = api.call("read_namespaced_pod", name, namespace)
        except Refusal as refusal:
            if refusal.status == 404:
                return
            raise
        if fresh["metadata"]["uid"] != pod["metadata"]["uid"]:
            return
        pod = fresh
