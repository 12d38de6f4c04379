"""Pods from start to removal: statuses, stops, lists and capacity."""

from datetime import UTC, datetime, timedelta

import pytest

from deployments.runtimes.base import (
    Code,
    Container,
    Key,
    Phase,
    ReplicaPlacement,
    RuntimeUnavailable,
)
from deployments.runtimes.kubernetes.deletion import deletion_grace_s
from deployments.tests.runtimes.kubernetes.api_server import AS_EVER, PODS, error
from deployments.tests.runtimes.kubernetes.cluster import (
    KEY,
    NAMESPACE,
    OTHER_CLUSTER,
    POD,
    launch_spec,
    runtime_at,
)

OURS = (NAMESPACE, POD)


def seen(runtime, key=KEY):
    return {each.key: each for each in runtime.observe()}.get(key)


def deletions(api):
    return [request.data for request in api.server if request.method == "DELETE"]


def test_a_pod_starts_runs_stops_and_is_removed(kubernetes, kubelet):
    kubernetes.start(launch_spec())
    assert seen(kubernetes).phase is Phase.PENDING
    kubelet.run()
    running = seen(kubernetes)
    assert (running.phase, running.ready, running.node) == (Phase.RUNNING, True, "node-1")
    kubernetes.stop(KEY, 30)
    assert (seen(kubernetes).phase, seen(kubernetes).stopping) == (Phase.RUNNING, True)
    kubelet.step()
    assert (seen(kubernetes).phase, seen(kubernetes).exit_code) == (Phase.ENDED, 143)
    kubelet.step()
    assert (seen(kubernetes).phase, seen(kubernetes).exit_code) == (Phase.ENDED, 143)
    kubernetes.remove(KEY)
    assert seen(kubernetes) is None


def test_a_kubelet_runs_the_pre_stop_command_of_what_is_stopped_within_the_whole_grace(
    kubernetes, kubelet, fake_kubernetes
):
    kubernetes.start(launch_spec(container=Container(pre_stop=["save"]), grace_s=120))
    kubelet.run()
    assert kubelet.hooks == []
    kubernetes.stop(KEY, 120)
    kubelet.step()
    assert seen(kubernetes).exit_code == 143
    assert kubelet.hooks == [["save"]]
    assert [each["gracePeriodSeconds"] for each in deletions(fake_kubernetes)] == [120]


@pytest.mark.parametrize(
    ("command", "code", "problem"),
    [
        (["exit", "0"], 0, None),
        (["exit", "3"], 3, Code.EXITED),
        (["trian"], 128, Code.COMMAND_FAILED),
    ],
)
def test_a_pod_that_ends_by_itself_stays(kubernetes, kubelet, command, code, problem):
    kubernetes.start(launch_spec(command=command))
    kubelet.run()
    ended = seen(kubernetes)
    assert (ended.phase, ended.exit_code) == (Phase.ENDED, code)
    assert (ended.problem.code if ended.problem else None) == problem
    kubernetes.stop(KEY, 0)
    assert seen(kubernetes) == ended
    kubernetes.remove(KEY)
    assert seen(kubernetes) is None


def test_a_pod_for_a_missing_node_is_unschedulable(kubernetes, kubelet):
    kubernetes.start(launch_spec(placement=[ReplicaPlacement(0, "node-9")]))
    kubelet.run()
    pending = seen(kubernetes)
    assert (pending.phase, pending.problem.code) == (Phase.PENDING, Code.UNSCHEDULABLE)


def test_a_pod_that_never_started_is_removed_when_it_is_stopped(kubernetes):
    kubernetes.start(launch_spec())
    kubernetes.stop(KEY, 30)
    assert seen(kubernetes) is None


def test_a_second_stop_may_shorten_the_grace_and_never_prolongs_it(
    fake_kubernetes, kubernetes, kubelet
):
    kubernetes.start(launch_spec())
    kubelet.run()
    uid = fake_kubernetes.pods[OURS]["metadata"]["uid"]
    for grace in (30, 60, 30, 5, 10, 0, 0):
        kubernetes.stop(KEY, grace)
    assert deletions(fake_kubernetes) == [
        {"gracePeriodSeconds": grace, "preconditions": {"uid": uid}} for grace in (30, 5, 1)
    ]


def test_a_killed_pod_exists_until_its_kubelet_has_ended_it(kubernetes, kubelet):
    kubernetes.start(launch_spec(command=["deaf"]))
    kubelet.run()
    kubernetes.stop(KEY, 0)
    assert (seen(kubernetes).phase, seen(kubernetes).stopping) == (Phase.RUNNING, True)
    kubelet.run()
    assert seen(kubernetes).phase is Phase.ENDED
    kubernetes.remove(KEY)
    assert seen(kubernetes) is None


def test_a_pod_whose_node_does_not_answer_is_deleted_when_it_is_killed(
    fake_kubernetes, kubernetes, kubelet
):
    kubernetes.start(launch_spec())
    kubelet.run()
    kubernetes.stop(KEY, 30)
    long_ago = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    fake_kubernetes.update(OURS, lambda pod: pod["metadata"].update(long_ago))
    kubernetes.stop(KEY, 30)
    assert seen(kubernetes)
    kubernetes.stop(KEY, 0)
    assert seen(kubernetes) is None


NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("granted", "due_s_ago", "wanted", "asked"),
    [
        (None, None, 30, 30),
        (None, None, 0, 1),
        (30, -30, 60, None),
        (30, -30, 30, None),
        (30, -30, 10, 10),
        (30, -30, 0, 1),
        (1, 20, 0, None),
        (1, 31, 0, 0),
        (30, 31, 0, 0),
        (30, 31, 30, None),
        (0, 31, 0, None),
    ],
)
def test_the_deletion_grace_depends_on_the_one_granted_before(granted, due_s_ago, wanted, asked):
    metadata = {}
    if granted is not None:
        due = NOW - timedelta(seconds=due_s_ago)
        metadata = {"deletionGracePeriodSeconds": granted, "deletionTimestamp": due.isoformat()}
    assert deletion_grace_s({"metadata": metadata}, wanted, NOW) == asked


def test_stopping_and_removing_a_missing_pod_does_nothing(fake_kubernetes, kubernetes):
    kubernetes.stop(KEY, 30)
    kubernetes.remove(KEY)
    assert deletions(fake_kubernetes) == []


def test_a_pod_may_vanish_while_it_is_stopped(fake_kubernetes, kubernetes, kubelet):
    kubernetes.start(launch_spec())
    kubelet.run()
    fake_kubernetes.once("delete", PODS, error(404, "NotFound", "not found"))
    kubernetes.stop(KEY, 30)


def test_a_pod_created_since_under_the_same_name_is_spared(fake_kubernetes, kubernetes, kubelet):
    kubernetes.start(launch_spec())
    kubelet.run()
    fake_kubernetes.once("delete", PODS, error(409, "Conflict", "the UID is another one"))
    kubernetes.stop(KEY, 30)
    kubelet.run()
    assert seen(kubernetes) is not None


def test_a_running_pod_is_removed_too(kubernetes, kubelet):
    kubernetes.start(launch_spec())
    kubelet.run()
    kubernetes.remove(KEY)
    kubelet.run()
    assert seen(kubernetes) is None


def test_a_pod_that_only_a_finalizer_keeps_has_ended(fake_kubernetes, kubernetes, kubelet):
    kubernetes.start(launch_spec())
    kubelet.run()
    fake_kubernetes.update(OURS, lambda pod: pod["metadata"].update(finalizers=["x/y"]))
    kubernetes.stop(KEY, 1)
    kubelet.run()
    kept = seen(kubernetes)
    assert (kept.phase, kept.stopping) == (Phase.ENDED, True)


@pytest.mark.parametrize("labels", [{}, {"mlops-platform/cluster": OTHER_CLUSTER}])
def test_pods_of_others_are_neither_seen_nor_touched(fake_kubernetes, kubernetes, kubelet, labels):
    theirs = {
        "metadata": {"namespace": NAMESPACE, "name": POD, "labels": labels},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running"},
    }
    fake_kubernetes.put(theirs)
    fake_kubernetes.logs[OURS] = [b"theirs\n"]
    kubernetes.stop(KEY, 0)
    kubernetes.remove(KEY)
    assert kubernetes.observe() == []
    assert list(kubernetes.logs(KEY)) == []
    assert deletions(fake_kubernetes) == []


def test_two_clusters_in_one_namespace_do_not_see_each_other(fake_kubernetes, kubernetes):
    other = runtime_at(fake_kubernetes.url, cluster_id=OTHER_CLUSTER)
    kubernetes.start(launch_spec())
    assert other.observe() == []
    other.stop(KEY, 0)
    assert seen(kubernetes)


def many(runtime, count):
    ids = [f"0190bbbb-0000-7000-8000-{n:012}" for n in range(count)]
    for each in ids:
        runtime.start(launch_spec(deployment_id=each))
    return ids


def test_only_the_deployments_asked_for_are_observed(fake_kubernetes, kubernetes):
    ids = many(kubernetes, 5)
    assert {each.key.deployment_id for each in kubernetes.observe(ids[1:3])} == {*ids[1:3]}
    assert kubernetes.observe([]) == []
    paged = runtime_at(fake_kubernetes.url, ids_in_a_selector=2)
    assert [each.key.deployment_id for each in paged.observe([*ids, ids[0]])] == ids
    paged.close()


def test_long_lists_come_page_by_page(fake_kubernetes, kubernetes):
    ids = many(kubernetes, 5)
    fake_kubernetes.page = 2
    assert [each.key for each in kubernetes.observe()] == [Key(each, 1, 0) for each in ids]


def test_a_list_is_read_from_the_start_again_when_a_page_has_expired(fake_kubernetes, kubernetes):
    ids = many(kubernetes, 5)
    fake_kubernetes.page = 2
    fake_kubernetes.once("list", PODS, AS_EVER, error(410, "Expired", "too old"))
    assert [each.key for each in kubernetes.observe()] == [Key(each, 1, 0) for each in ids]
    asked = [request.params.get("continue") for request in fake_kubernetes.server["list"]]
    assert [bool(token) for token in asked] == [False, True, False, True, True]


def test_a_list_without_an_end_is_unavailable(fake_kubernetes, kubernetes):
    fake_kubernetes.once("list", PODS, *[error(410, "Expired", "too old")] * 3)
    with pytest.raises(RuntimeUnavailable, match="faster than it could be read"):
        kubernetes.observe()


def test_capacity_is_what_other_pods_leave(fake_kubernetes, kubernetes, kubelet):
    fake_kubernetes.add_node("node-3", allocatable={"nvidia.com/gpu": "8"}, conditions=[])
    kubernetes.start(launch_spec())
    kubelet.run()
    requests = {"cpu": "1500m", "memory": "1Gi"}
    fake_kubernetes.put(
        {
            "metadata": {"namespace": "kube-system", "name": "proxy"},
            "spec": {"nodeName": "node-1", "containers": [{"resources": {"requests": requests}}]},
            "status": {"phase": "Running"},
        }
    )
    found = {each.node: each for each in kubernetes.capacity()}
    assert (found["node-1"].cpu_milli, found["node-1"].ram_mib) == (2500, 7 * 1024)
    assert (found["node-2"].cpu_milli, found["node-2"].gpu) == (4000, 0)
    assert (found["node-3"].gpu, found["node-3"].ready) == (8, False)
    assert found["node-1"].labels == {"kubernetes.io/hostname": "node-1"}
