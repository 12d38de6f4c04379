"""The replica status of a Pod, from what the API server, kube-scheduler and kubelet report.

The kubelet's reasons are not part of its API; they are those of `pkg/kubelet` (images/types.go,
container/sync_result.go, lifecycle, eviction, nodeshutdown, preemption) up to Kubernetes 1.36.
"""

import re
from datetime import datetime

from deployments.runtimes.base import Code, Phase, Problem, ReplicaStatus, one_line
from deployments.runtimes.kubernetes import buckets
from deployments.runtimes.kubernetes.gangs import has_begun, waits_for_gang
from deployments.runtimes.kubernetes.names import Json, key_of, main_status, pod_name
from deployments.runtimes.kubernetes.secrets import is_gated
from deployments.runtimes.pull_errors import is_final

# Reasons of a Pod's failure where its node has ended it.
_DISRUPTIONS = frozenset(
    {
        "Evicted",  # its node ran short of memory, disk or process ids
        "NodeLost",
        "NodeShutdown",  # rejected by a node that is shutting down; "Shutdown" before 1.22
        "Shutdown",
        "Terminated",  # ended by a node that is shutting down
        "Preempting",  # for a Pod that the node itself cannot do without
        "DeadlineExceeded",  # a deadline of others: the platform sets none
    }
)
# Reasons of a kubelet to reject a Pod, besides "OutOf" and the name of a resource.
_REJECTED = frozenset(
    {
        "UnexpectedAdmissionError",  # for one: no device left, or none healthy
        "TopologyAffinityError",
        "NodeAffinity",
        "NodeName",
        "TaintToleration",
    }
)
_WAITING = {
    "ImagePullBackOff": Code.IMAGE_PULL_DELAYED,  # unless the message says that it is final
    "ErrImageNeverPull": Code.IMAGE_PULL_FAILED,
    "ImageInspectError": Code.IMAGE_PULL_FAILED,
    "SignatureValidationFailed": Code.IMAGE_PULL_FAILED,
    "InvalidImageName": Code.IMAGE_PULL_FAILED,
    "ErrImagePull": Code.IMAGE_PULL_DELAYED,  # as before
    "RegistryUnavailable": Code.IMAGE_PULL_DELAYED,
    "CreateContainerConfigError": Code.REFUSED,
    "CreateContainerError": Code.COMMAND_FAILED,
    "RunContainerError": Code.COMMAND_FAILED,
    "StartError": Code.COMMAND_FAILED,
}
# Messages of an eviction for what the Pod itself has written, not for its node's sake.
_OWN_LIMIT = re.compile(
    r"exceeded its local ephemeral storage limit|exceeds the (total )?limit", re.IGNORECASE
)
# Newer kubelets repeat behind this what the last try has said.
_BACK_OFF = re.compile(r'Back-off pulling image "[^"]*"(: (ErrImagePull: )?)?')
# The reason of containerd and CRI-O, and that of Docker.
_NEVER_STARTED = frozenset({"StartError", "ContainerCannotRun"})


def replica_status(pod: Json) -> ReplicaStatus | None:
    """None for a Pod whose labels name no replica."""
    key = key_of(pod)
    if key is None:
        return None
    status = pod.get("status") or {}
    state = (main_status(status).get("state")) or {}
    ended = state.get("terminated") or {}
    metadata = pod["metadata"]
    name, stopping = metadata.get("name", ""), bool(metadata.get("deletionTimestamp"))
    phase = _phase(pod, status, state, stopping)
    return ReplicaStatus(
        key=key,
        phase=phase,
        ready=phase is Phase.RUNNING and _condition(status, "Ready").get("status") == "True",
        stopping=stopping,
        exit_code=ended.get("exitCode"),
        begun=has_begun(pod) and not is_gated(pod),
        created_at=_time(metadata.get("creationTimestamp")),
        problem=_problem(phase, pod, status, state, stopping),
        started_at=_time((state.get("running") or ended).get("startedAt")),
        ended_at=_time(ended.get("finishedAt")),
        node=pod["spec"].get("nodeName"),
        id=f"{name}/{metadata.get('uid', '')}" if name else "",
        renamed=bool(name) and name != pod_name(key),
        image_digest=_digest(main_status(status).get("imageID") or ""),
    )


def _digest(image_id: str) -> str:
    """Of `docker.io/library/train@sha256:…`, or of an image that no registry gave."""
    digest = image_id.rpartition("@")[2].rpartition("//")[2]
    return digest if digest.startswith("sha256:") else ""


def has_ended(pod: Json) -> bool:
    status = pod.get("status") or {}
    state = main_status(status).get("state") or {}
    stopping = bool(pod["metadata"].get("deletionTimestamp"))
    return _phase(pod, status, state, stopping) is Phase.ENDED


def _phase(pod: Json, status: Json, state: Json, stopping: bool) -> Phase:
    if status.get("phase") in {"Succeeded", "Failed"} or "terminated" in state:
        # The Pod may run on for an injected container; the replica's own container has ended.
        return Phase.ENDED
    if stopping and not pod["spec"].get("nodeName"):
        return Phase.ENDED  # a finalizer keeps it, and no node will ever start it
    if "running" in state or status.get("phase") == "Unknown":
        return Phase.RUNNING
    if (state.get("waiting") or {}).get("reason") == "InvalidImageName":
        return Phase.ENDED  # the kubelet tries again, in vain
    return Phase.PENDING


def _problem(phase: Phase, pod: Json, status: Json, state: Json, stopping: bool) -> Problem | None:
    if phase is Phase.RUNNING:
        return _of_running(status, stopping)
    if phase is Phase.PENDING or (status.get("phase") == "Pending" and "terminated" not in state):
        return None if waits_for_gang(pod) else _of_pending(pod, status, state.get("waiting") or {})
    if status.get("phase") == "Succeeded":
        return None
    return _of_ended(status, state.get("terminated"))


def _of_running(status: Json, stopping: bool) -> Problem | None:
    disrupted = _condition(status, "DisruptionTarget")
    if disrupted.get("status") == "True":
        return _reported(Code.DISRUPTED, disrupted)
    if status.get("phase") == "Unknown":
        return Problem(Code.NOT_READY, "Its node has not been heard of for some time.")
    ready = _condition(status, "Ready")
    return None if ready.get("status") == "True" or stopping else _reported(Code.NOT_READY, ready)


def _of_pending(pod: Json, status: Json, waiting: Json) -> Problem | None:
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return _reported(Code.UNSCHEDULABLE, scheduled)
    fetching = buckets.status_of(status)
    if "running" in fetching:
        return Problem(Code.FETCHING_DATA)
    containers = "initContainers" if fetching.get("waiting") else "containers"
    waiting = fetching.get("waiting") or waiting
    code = _WAITING.get(waiting.get("reason", ""))
    if code is Code.IMAGE_PULL_DELAYED:
        return _of_pull(pod, waiting, containers)
    return _reported(code, waiting) if code else None


def _of_pull(pod: Json, waiting: Json, containers: str) -> Problem:
    """The same problem while the kubelet pulls and while it waits for the next try; without a
    message where an older kubelet waits, as it does not repeat what the last try has said."""
    said = _BACK_OFF.sub("", waiting.get("message") or "", count=1)
    images = (each.get("image") for each in pod["spec"].get(containers) or ())
    is_over = is_final(said, str(next(images, "")))
    code = Code.IMAGE_PULL_FAILED if is_over else Code.IMAGE_PULL_DELAYED
    if not said and waiting["reason"] != "ImagePullBackOff":
        said = waiting["reason"]
    return Problem(code, one_line(said))


def _of_ended(status: Json, ended: Json | None) -> Problem | None:
    # 1. What the node or the cluster did to the Pod comes before its exit code.
    reason = status.get("reason") or ""
    if reason == "Evicted" and _OWN_LIMIT.search(status.get("message") or ""):
        return _reported(Code.OUT_OF_DISK, status)
    if reason in _DISRUPTIONS:
        return _reported(Code.DISRUPTED, status)
    disrupted = _condition(status, "DisruptionTarget")
    if disrupted.get("status") == "True":
        return _reported(Code.DISRUPTED, disrupted)
    if reason.startswith("OutOf") or reason in _REJECTED:
        return _reported(Code.UNSCHEDULABLE, status)
    # 2. How its process ended.
    if ended:
        return _of_process(ended)
    # 3. It had no process: its data could not be fetched.
    if unfetched := buckets.problem_of_end(buckets.status_of(status).get("terminated") or {}):
        return unfetched
    # 4. An init container of others has failed, or the kubelet has rejected the Pod.
    failed_init = [
        each["state"]["terminated"]
        for each in status.get("initContainerStatuses") or ()
        if (each.get("state") or {}).get("terminated", {}).get("exitCode")
    ]
    if failed_init:
        return _of_process(failed_init[0])
    return _reported(Code.REFUSED, status) if status.get("phase") == "Failed" else None


def _of_process(ended: Json) -> Problem | None:
    """Reasons such as "Error" and "OOMKilled" say no more than the code, so they are no message."""
    reason, own_words = ended.get("reason"), one_line(ended.get("message") or "")
    if reason == "OOMKilled":
        return Problem(Code.OUT_OF_MEMORY, own_words)
    if reason in _NEVER_STARTED:
        return _reported(Code.COMMAND_FAILED, ended)
    if reason == "ContainerStatusUnknown":  # its machine was away and returned without it
        return _reported(Code.DISRUPTED, ended)
    return Problem(Code.EXITED, own_words) if ended.get("exitCode") else None


def _condition(status: Json, kind: str) -> Json:
    for each in status.get("conditions") or ():
        if each.get("type") == kind:
            return dict(each)
    return {}


def _reported(code: Code, by: Json) -> Problem:
    """With the message, or else the reason, of a condition or state."""
    return Problem(code, one_line(by.get("message") or by.get("reason") or ""))


def _time(text: str | None) -> datetime | None:
    """None also for the epoch, with which Kubernetes means "never"."""
    time = datetime.fromisoformat(text) if text else None
    return time if time and time.timestamp() > 0 else None
