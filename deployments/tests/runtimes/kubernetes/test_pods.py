"""The replica status that is read from a Pod, one row for each state of Pods."""

from datetime import UTC, datetime

import pytest

from deployments.runtimes.base import Code, Key, Phase, Problem, ReplicaStatus
from deployments.runtimes.kubernetes.pods import has_ended, replica_status
from deployments.tests.runtimes.kubernetes.cluster import DEPLOYMENT

KEY = Key(DEPLOYMENT, 2, 1)
BEGAN, ENDED = "2026-01-01T10:00:00Z", "2026-01-01T10:30:00Z"
AT, LATER = datetime(2026, 1, 1, 10, tzinfo=UTC), datetime(2026, 1, 1, 10, 30, tzinfo=UTC)
READY = {"type": "Ready", "status": "True"}
FULL = "0/3 nodes are available: 1 Insufficient nvidia.com/gpu."
NO_ROOM = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": FULL,
}
DISRUPTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "PreemptionByScheduler",
    "message": "preempted by pod x on node n",
}


def pod(phase, state=None, *, node="n", conditions=(), deleted=False, **status):
    metadata = {
        "labels": {
            "mlops-platform/deployment": DEPLOYMENT,
            "mlops-platform/attempt": "2",
            "mlops-platform/replica": "1",
        },
        **({"deletionTimestamp": ENDED} if deleted else {}),
    }
    containers = [{"name": "main", "state": state}] if state is not None else []
    status = {"phase": phase, "containerStatuses": containers, **status}
    spec = {"nodeName": node} if node else {}
    return {"metadata": metadata, "spec": spec, "status": {**status, "conditions": [*conditions]}}


def waiting(reason, message=None):
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def terminated(code, reason, message=None, began=BEGAN):
    said = {"message": message} if message else {}
    ends = {"startedAt": began, "finishedAt": ENDED}
    return {"terminated": {"exitCode": code, "reason": reason, **ends, **said}}


RUNNING = {"running": {"startedAt": BEGAN}}


def read(pod) -> ReplicaStatus:
    seen = replica_status(pod)
    assert seen is not None
    return seen


def problem(code, message):
    return Problem(Code(code), message)


BACK_OFF = 'Back-off pulling image "registry.test/x:1": ErrImagePull: '
PENDING = {
    "just created": (pod("Pending", node=None), None),
    "no room": (
        pod("Pending", node=None, conditions=[NO_ROOM]),
        problem("UNSCHEDULABLE", FULL),
    ),
    "kept back by a gate": (
        pod("Pending", node=None, conditions=[{**NO_ROOM, "reason": "SchedulingGated"}]),
        None,
    ),
    "being created": (pod("Pending", waiting("ContainerCreating")), None),
    "initializing": (pod("Pending", waiting("PodInitializing")), None),
    "first pull failed": (
        pod("Pending", waiting("ErrImagePull", "dial tcp: i/o timeout")),
        problem("IMAGE_PULL_DELAYED", "dial tcp: i/o timeout"),
    ),
    "no such image": (
        pod("Pending", waiting("ErrImagePull", "registry.test/x:1: not found")),
        problem("IMAGE_PULL_FAILED", "registry.test/x:1: not found"),
    ),
    "not for us": (
        pod("Pending", waiting("ErrImagePull", "pull access denied for x")),
        problem("IMAGE_PULL_FAILED", "pull access denied for x"),
    ),
    "registry away": (
        pod("Pending", waiting("RegistryUnavailable")),
        problem("IMAGE_PULL_DELAYED", "RegistryUnavailable"),
    ),
    "pull backs off": (
        pod("Pending", waiting("ImagePullBackOff", 'Back-off pulling image "x:1"')),
        problem("IMAGE_PULL_DELAYED", ""),
    ),
    "pull backs off from a registry that is away": (
        pod("Pending", waiting("ImagePullBackOff", f"{BACK_OFF}dial tcp: i/o timeout")),
        problem("IMAGE_PULL_DELAYED", "dial tcp: i/o timeout"),
    ),
    "pull backs off for good": (
        pod("Pending", waiting("ImagePullBackOff", f"{BACK_OFF}registry.test/x:1: not found")),
        problem("IMAGE_PULL_FAILED", "registry.test/x:1: not found"),
    ),
    "missing configuration": (
        pod("Pending", waiting("CreateContainerConfigError", 'secret "x" not found')),
        problem("REFUSED", 'secret "x" not found'),
    ),
    "no command": (
        pod("Pending", waiting("CreateContainerError", "no command specified")),
        problem("COMMAND_FAILED", "no command specified"),
    ),
    "cannot be run": (
        pod("Pending", waiting("RunContainerError", "exec format error")),
        problem("COMMAND_FAILED", "exec format error"),
    ),
}


@pytest.mark.parametrize(("pod", "expected"), PENDING.values(), ids=PENDING)
def test_a_pending_pod_has_its_problem(pod, expected):
    node = pod["spec"].get("nodeName")
    assert read(pod) == ReplicaStatus(KEY, Phase.PENDING, problem=expected, node=node)


RUNS = {
    "ready": (pod("Running", RUNNING, conditions=[READY]), True, None),
    "not ready": (
        pod(
            "Running",
            RUNNING,
            conditions=[{**READY, "status": "False", "reason": "ContainersNotReady"}],
        ),
        False,
        problem("NOT_READY", "ContainersNotReady"),
    ),
    "about to be evicted": (
        pod("Running", RUNNING, conditions=[READY, DISRUPTED]),
        True,
        problem("DISRUPTED", "preempted by pod x on node n"),
    ),
    "node lost": (
        pod("Unknown", RUNNING),
        False,
        problem("NOT_READY", "Its node has not been heard of for some time."),
    ),
}


@pytest.mark.parametrize(("pod", "ready", "expected"), RUNS.values(), ids=RUNS)
def test_a_running_pod_has_its_problem(pod, ready, expected):
    assert read(pod) == ReplicaStatus(
        KEY, Phase.RUNNING, ready=ready, problem=expected, started_at=AT, node="n"
    )
    assert not has_ended(pod)


OOM = terminated(137, "OOMKilled")
GONE = terminated(137, "ContainerStatusUnknown", "The container could not be located")
NO_PROGRAM = 'exec: "trian": executable file not found in $PATH'
PROCESSES = {
    "succeeded": ("Succeeded", terminated(0, "Completed"), None),
    "exit code": ("Failed", terminated(3, "Error"), problem("EXITED", "")),
    "last words": ("Failed", terminated(1, "Error", "bad\n data"), problem("EXITED", "bad data")),
    "a shell's 127": ("Failed", terminated(127, "Error"), problem("EXITED", "")),
    "out of memory": ("Failed", OOM, problem("OUT_OF_MEMORY", "")),
    "no such program": (
        "Failed",
        terminated(128, "StartError", NO_PROGRAM),
        problem("COMMAND_FAILED", NO_PROGRAM),
    ),
    "not executable": (
        "Failed",
        terminated(126, "ContainerCannotRun", "permission denied"),
        problem("COMMAND_FAILED", "permission denied"),
    ),
    "machine came back without it": (
        "Failed",
        GONE,
        problem("DISRUPTED", "The container could not be located"),
    ),
    "Pod goes on for a sidecar": ("Running", terminated(0, "Completed"), None),
    "before the Pod's phase knows": (
        "Pending",
        terminated(128, "StartError"),
        problem("COMMAND_FAILED", "StartError"),
    ),
}


@pytest.mark.parametrize(("phase", "state", "expected"), PROCESSES.values(), ids=PROCESSES)
def test_an_ended_process_has_its_problem(phase, state, expected):
    code = state["terminated"]["exitCode"]
    assert read(pod(phase, state)) == ReplicaStatus(
        KEY,
        Phase.ENDED,
        exit_code=code,
        problem=expected,
        started_at=AT,
        ended_at=LATER,
        node="n",
    )
    assert has_ended(pod(phase, state))


@pytest.mark.parametrize(
    "reason",
    [
        "Evicted",
        "NodeLost",
        "Shutdown",
        "NodeShutdown",
        "Terminated",
        "Preempting",
        "DeadlineExceeded",
    ],
)
def test_a_pod_that_its_node_ended_is_disrupted(reason):
    for state in (None, OOM, waiting("ContainerCreating"), terminated(0, "Completed")):
        seen = read(pod("Failed", state, reason=reason, message="The node was low on memory."))
        assert seen.phase is Phase.ENDED
        assert seen.problem == problem("DISRUPTED", "The node was low on memory.")


@pytest.mark.parametrize(
    "said",
    [
        'Container main exceeded its local ephemeral storage limit "1Gi". ',
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
        'Usage of EmptyDir volume "tmp" exceeds the limit "64Mi". ',
    ],
)
def test_a_pod_that_wrote_more_than_it_may_is_out_of_disk(said):
    for state in (None, terminated(137, "Error")):
        seen = read(pod("Failed", state, reason="Evicted", message=said))
        assert seen.phase is Phase.ENDED
        assert seen.problem == problem("OUT_OF_DISK", said.strip())


def test_a_pod_that_the_cluster_ended_is_disrupted():
    seen = read(pod("Failed", terminated(143, "Error"), conditions=[DISRUPTED]))
    assert seen.problem == problem("DISRUPTED", "preempted by pod x on node n")
    assert read(pod("Succeeded", terminated(0, ""), conditions=[DISRUPTED])).problem is None


@pytest.mark.parametrize(
    "reason",
    [
        "OutOfcpu",
        "OutOfmemory",
        "OutOfpods",
        "OutOfnvidia.com/gpu",
        "UnexpectedAdmissionError",
        "NodeAffinity",
        "TopologyAffinityError",
    ],
)
def test_a_pod_that_does_not_fit_its_kubelet_is_unschedulable(reason):
    seen = read(pod("Failed", reason=reason, message="Node didn't have enough resource"))
    assert (seen.phase, seen.exit_code) == (Phase.ENDED, None)
    assert seen.problem == problem("UNSCHEDULABLE", "Node didn't have enough resource")


def test_a_pod_that_its_kubelet_rejects_is_refused():
    seen = read(pod("Failed", reason="SysctlForbidden", message="forbidden sysctl"))
    assert (seen.phase, seen.problem) == (Phase.ENDED, problem("REFUSED", "forbidden sysctl"))


def test_a_pod_whose_init_container_failed_has_its_exit_code():
    before = [{"name": "init", "state": terminated(1, "Error", "no route")}]
    seen = read(pod("Failed", waiting("PodInitializing"), initContainerStatuses=before))
    assert (seen.phase, seen.problem) == (Phase.ENDED, problem("EXITED", "no route"))


def test_a_pod_with_an_invalid_image_name_has_ended():
    seen = read(pod("Pending", waiting("InvalidImageName", 'couldn\'t parse "X:"')))
    assert seen.phase is Phase.ENDED
    assert seen.problem == problem("IMAGE_PULL_FAILED", 'couldn\'t parse "X:"')


@pytest.mark.parametrize(
    ("pod", "phase"),
    [
        (pod("Pending", waiting("ContainerCreating"), deleted=True), Phase.PENDING),
        (pod("Running", RUNNING, deleted=True), Phase.RUNNING),
        (pod("Running", terminated(143, "Error"), deleted=True), Phase.ENDED),
        # Kept by a finalizer: it does not run, and never will.
        (pod("Failed", terminated(143, "Error"), deleted=True), Phase.ENDED),
        (pod("Pending", node=None, deleted=True), Phase.ENDED),
    ],
)
def test_a_terminating_pod_is_stopping(pod, phase):
    seen = read(pod)
    assert (seen.stopping, seen.phase) == (True, phase)
    assert seen.problem is None or seen.exit_code == 143


def test_the_epoch_means_no_time():
    seen = read(pod("Failed", terminated(128, "StartError", began="1970-01-01T00:00:00Z")))
    assert (seen.started_at, seen.ended_at) == (None, LATER)


def test_only_the_main_container_counts():
    seen = pod("Running", RUNNING, conditions=[READY])
    seen["status"]["containerStatuses"].insert(0, {"name": "proxy", "state": OOM})
    assert read(seen).phase is Phase.RUNNING


@pytest.mark.parametrize("broken", ["mlops-platform/attempt", "mlops-platform/deployment"])
def test_a_pod_whose_labels_name_no_replica_is_not_observed(broken):
    seen = pod("Running", RUNNING)
    del seen["metadata"]["labels"][broken]
    assert replica_status(seen) is None
    seen["metadata"]["labels"][broken] = "first"
    assert (replica_status(seen) is None) == (broken == "mlops-platform/attempt")


@pytest.mark.parametrize(
    ("image_id", "digest"),
    [
        ("docker.io/library/train@sha256:" + "1" * 64, "sha256:" + "1" * 64),
        ("docker-pullable://train@sha256:" + "1" * 64, "sha256:" + "1" * 64),
        ("docker://sha256:" + "2" * 64, "sha256:" + "2" * 64),
        ("sha256:" + "3" * 64, "sha256:" + "3" * 64),
        ("registry.test/train:1", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_replica_has_the_digest_of_its_image(image_id, digest):
    running = pod("Running", RUNNING)
    running["status"]["containerStatuses"][0]["imageID"] = image_id
    assert read(running).image_digest == digest
