"""A Pod as a replica_status: what the API server, the kube-scheduler and the kubelet say of it.

The kubelet's reasons are not part of its API; they are those of `pkg/kubelet` (images/types.go,
container/sync_result.go, lifecycle, eviction, nodeshutdown, preemption) up to Kubernetes 1.36.
"""

import re
from datetime import datetime

from deployments.runtimes.base import Code, Phase, Problem, ReplicaStatus, one_line
from deployments.runtimes.kubernetes.names import CONTAINER, Json, key_of

# Why a Pod has failed, where its node has ended it.
_DISRUPTIONS = frozenset(
    {
        "Evicted",  # its node ran short of memory, disk or process ids
        "NodeLost",
        "NodeShutdown",  # turned away by a node that is shutting down; "Shutdown" before 1.22
        "Shutdown",
        "Terminated",  # ended by a node that is shutting down
        "Preempting",  # for a Pod that the node itself cannot do without
        "DeadlineExceeded",  # somebody else's deadline: we set none
    }
)
# Why a kubelet turns away a Pod before it has begun, beside "OutOf" and the name of a resource.
_TURNED_AWAY = frozenset(
    {
        "UnexpectedAdmissionError",  # for one: no device left, or none healthy
        "TopologyAffinityError",
        "NodeAffinity",
        "NodeName",
        "TaintToleration",
    }
)
_WAITING = {
    "ImagePullBackOff": Code.IMAGE_PULL_FAILED,
    "ErrImageNeverPull": Code.IMAGE_PULL_FAILED,
    "ImageInspectError": Code.IMAGE_PULL_FAILED,
    "SignatureValidationFailed": Code.IMAGE_PULL_FAILED,
    "InvalidImageName": Code.IMAGE_PULL_FAILED,
    "ErrImagePull": Code.PULLING_IMAGE,  # the first time may be bad luck, unless it says otherwise
    "RegistryUnavailable": Code.PULLING_IMAGE,
    "CreateContainerConfigError": Code.REFUSED,
    "CreateContainerError": Code.COMMAND_FAILED,
    "RunContainerError": Code.COMMAND_FAILED,
    "StartError": Code.COMMAND_FAILED,
}
_HOPELESS_PULL = re.compile(
    r"not found|manifest unknown|does not exist|denied|unauthorized|authentication required"
    r"|no basic auth|no match for platform|invalid reference format",
    re.IGNORECASE,
)
_NEVER_BEGAN = frozenset({"StartError", "ContainerCannotRun"})  # containerd's and CRI-O's; Docker's


def replica_status(pod: Json) -> ReplicaStatus | None:
    """None for a Pod whose labels say of no replica whose it is."""
    key = key_of(pod)
    if key is None:
        return None
    status = pod.get("status") or {}
    state = (_main(status).get("state")) or {}
    ended = state.get("terminated") or {}
    stopping = bool(pod["metadata"].get("deletionTimestamp"))
    phase = _phase(pod, status, state, stopping)
    return ReplicaStatus(
        key=key,
        phase=phase,
        ready=phase is Phase.RUNNING and _condition(status, "Ready").get("status") == "True",
        stopping=stopping,
        exit_code=ended.get("exitCode"),
        problem=_problem(phase, status, state, stopping),
        started_at=_time((state.get("running") or ended).get("startedAt")),
        ended_at=_time(ended.get("finishedAt")),
        node=pod["spec"].get("nodeName"),
    )


def has_ended(pod: Json) -> bool:
    status = pod.get("status") or {}
    state = _main(status).get("state") or {}
    stopping = bool(pod["metadata"].get("deletionTimestamp"))
    return _phase(pod, status, state, stopping) is Phase.ENDED


def _phase(pod: Json, status: Json, state: Json, stopping: bool) -> Phase:
    if status.get("phase") in {"Succeeded", "Failed"} or "terminated" in state:
        # Of a Pod that goes on for the sake of a container that was injected, ours has ended.
        return Phase.ENDED
    if stopping and not pod["spec"].get("nodeName"):
        return Phase.ENDED  # somebody's finalizer holds it, but no node will ever begin it
    if "running" in state or status.get("phase") == "Unknown":
        return Phase.RUNNING
    if (state.get("waiting") or {}).get("reason") == "InvalidImageName":
        return Phase.ENDED  # the kubelet tries again, the name stays what it is
    return Phase.PENDING


def _problem(phase: Phase, status: Json, state: Json, stopping: bool) -> Problem | None:
    if phase is Phase.RUNNING:
        return _of_running(status, stopping)
    if phase is Phase.PENDING or (status.get("phase") == "Pending" and "terminated" not in state):
        return _of_pending(status, state.get("waiting") or {})
    if status.get("phase") == "Succeeded":
        return None
    return _of_ended(status, state.get("terminated"))


def _of_running(status: Json, stopping: bool) -> Problem | None:
    disrupted = _condition(status, "DisruptionTarget")
    if disrupted.get("status") == "True":
        return _said(Code.DISRUPTED, disrupted)
    if status.get("phase") == "Unknown":
        return Problem(Code.NOT_READY, "Its node has not been heard of for some time.")
    ready = _condition(status, "Ready")
    return None if ready.get("status") == "True" or stopping else _said(Code.NOT_READY, ready)


def _of_pending(status: Json, waiting: Json) -> Problem | None:
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return _said(Code.UNSCHEDULABLE, scheduled)
    code = _WAITING.get(waiting.get("reason", ""))
    if code is Code.PULLING_IMAGE and _HOPELESS_PULL.search(waiting.get("message") or ""):
        code = Code.IMAGE_PULL_FAILED
    return _said(code, waiting) if code else None


def _of_ended(status: Json, ended: Json | None) -> Problem | None:
    # 1. What its node or the cluster did to it counts before what it did itself in the end.
    reason = status.get("reason") or ""
    if reason in _DISRUPTIONS:
        return _said(Code.DISRUPTED, status)
    disrupted = _condition(status, "DisruptionTarget")
    if disrupted.get("status") == "True":
        return _said(Code.DISRUPTED, disrupted)
    if reason.startswith("OutOf") or reason in _TURNED_AWAY:
        return _said(Code.UNSCHEDULABLE, status)
    # 2. What became of its process.
    if ended:
        return _of_process(ended)
    # 3. It had none: an injected container before it has failed, or the kubelet would not have it.
    before = [
        each["state"]["terminated"]
        for each in status.get("initContainerStatuses") or ()
        if (each.get("state") or {}).get("terminated", {}).get("exitCode")
    ]
    if before:
        return _said(Code.EXITED, before[0])
    return _said(Code.REFUSED, status) if status.get("phase") == "Failed" else None


def _of_process(ended: Json) -> Problem | None:
    reason = ended.get("reason")
    if reason == "OOMKilled":
        return _said(Code.OUT_OF_MEMORY, ended)
    if reason in _NEVER_BEGAN:
        return _said(Code.COMMAND_FAILED, ended)
    if reason == "ContainerStatusUnknown":  # its machine was away, and came back without it
        return _said(Code.DISRUPTED, ended)
    return _said(Code.EXITED, ended) if ended.get("exitCode") else None


def _main(status: Json) -> Json:
    for each in status.get("containerStatuses") or ():
        if each.get("name") == CONTAINER:
            return dict(each)
    return {}


def _condition(status: Json, kind: str) -> Json:
    for each in status.get("conditions") or ():
        if each.get("type") == kind:
            return dict(each)
    return {}


def _said(code: Code, by: Json) -> Problem:
    """The message, and where there is none at least the reason."""
    return Problem(code, one_line(by.get("message") or by.get("reason") or ""))


def _time(text: str | None) -> datetime | None:
    """None also for the epoch, which is how Kubernetes writes "never"."""
    time = datetime.fromisoformat(text) if text else None
    return time if time and time.timestamp() > 0 else None
