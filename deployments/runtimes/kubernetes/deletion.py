"""How much time a Pod is given to end."""

from datetime import datetime, timedelta

from deployments.runtimes.kubernetes.names import Json

AT_ONCE_S = 1
OVERDUE = timedelta(seconds=30)


def deletion_grace_s(pod: Json, grace_s: int, now: datetime) -> int | None:
    """The grace to delete it with; None where it is going as it should.

    To kill is to ask for one second, not for none. With 0 the API server forgets the Pod at once,
    while the kubelet lets its process go on for the grace that its specification names, seen by
    nobody (kubernetes/kubernetes#120449): its room would be given away before it is free. So 0 is
    for nodes that do not answer: the kubelet should have been done half a minute ago.
    """
    granted = pod["metadata"].get("deletionGracePeriodSeconds")
    wanted = max(AT_ONCE_S, grace_s)
    if granted is None:
        return wanted
    if granted == 0:
        return None  # gone, but for somebody's finalizer
    due = datetime.fromisoformat(pod["metadata"]["deletionTimestamp"])
    if grace_s <= 0 and now > due + OVERDUE:
        return 0
    return wanted if wanted < granted else None
