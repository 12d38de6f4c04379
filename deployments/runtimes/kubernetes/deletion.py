"""Chooses the grace period with which a Pod is deleted."""

from datetime import datetime, timedelta

from deployments.runtimes.kubernetes.names import Json

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
