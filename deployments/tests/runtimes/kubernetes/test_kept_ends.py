"""The exit code and the output of a Pod that is stopped, evicted or deleted by others are read."""

from datetime import UTC, datetime, timedelta

import pytest

from deployments.runtimes.base import Phase
from deployments.tests.runtimes.kubernetes.api_server import PODS, error
from deployments.tests.runtimes.kubernetes.cluster import KEY, NAMESPACE, POD, launch_spec

OURS = (NAMESPACE, POD)


def seen(runtime):
    return next(iter(runtime.observe([KEY.deployment_id])), None)


def test_a_stopped_pod_is_there_until_it_is_removed(fake_kubernetes, kubernetes, kubelet):
    kubernetes.start(launch_spec(command=["chat", "one"]))
    kubelet.run()
    kubernetes.stop(KEY, 30)
    kubelet.run(10)
    status = seen(kubernetes)
    assert (status.phase, status.exit_code, status.stopping) == (Phase.ENDED, 143, True)
    assert b"".join(kubernetes.logs(KEY)) == b"one\n"
    kubernetes.remove(KEY)
    assert seen(kubernetes) is None


def test_a_pod_that_others_delete_is_there_until_it_is_removed(
    fake_kubernetes, kubernetes, kubelet
):
    kubernetes.start(launch_spec(command=["exit", "3"]))
    kubelet.run()
    deletion = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
    fake_kubernetes.update(OURS, lambda pod: pod["metadata"].update(deletion))
    kubelet.run(10)
    assert (seen(kubernetes).phase, seen(kubernetes).exit_code) == (Phase.ENDED, 3)
    kubernetes.remove(KEY)
    assert seen(kubernetes) is None


def test_finalizers_of_others_stay(fake_kubernetes, kubernetes, kubelet):
    kubernetes.start(launch_spec(command=["exit", "0"]))
    kubelet.run()
    fake_kubernetes.update(OURS, lambda pod: pod["metadata"]["finalizers"].append("x/y"))
    kubernetes.remove(KEY)
    assert fake_kubernetes.pods[OURS]["metadata"]["finalizers"] == ["x/y"]


def test_a_pod_that_changes_meanwhile_is_released_all_the_same(
    fake_kubernetes, kubernetes, kubelet
):
    kubernetes.start(launch_spec(command=["exit", "0"]))
    kubelet.run()
    fake_kubernetes.once("patch", PODS, error(409, "Conflict", "the object has been modified"))
    kubernetes.remove(KEY)
    assert seen(kubernetes) is None


def test_an_account_that_may_not_take_the_finalizer_gives_none(
    fake_kubernetes, kubernetes, kubelet
):
    """As with the manifest of an older version: such a Pod could never be deleted."""
    forbidden = error(403, "Forbidden", 'pods "x" is forbidden: User "y" cannot patch')
    fake_kubernetes.once("patch", PODS, *[forbidden] * 2)
    kubernetes.start(launch_spec())
    assert not fake_kubernetes.pods[OURS]["metadata"].get("finalizers")
    kubelet.run()
    kubernetes.stop(KEY, 0)
    kubelet.run()
    assert seen(kubernetes) is None


@pytest.mark.parametrize(
    "said",
    [
        b"unable to retrieve container logs for containerd://0123456789abcdef",
        b'failed to try resolving symlinks in path "/var/log/pods/x/main/0.log": lstat: no such\n',
        b'rpc error: code = NotFound desc = an error occurred when try to find container "0": -',
        b'rpc error: code = NotFound desc = could not find container "0": ID does not exist\n',
    ],
)
def test_a_kubelets_error_is_no_output(fake_kubernetes, kubernetes, kubelet, said: bytes):
    kubernetes.start(launch_spec(command=["exit", "0"]))
    kubelet.run()
    fake_kubernetes.logs[OURS] = [said]
    assert b"".join(kubernetes.logs(KEY)) == b""
    fake_kubernetes.logs[OURS] = [said.rstrip() + b"\n", b"and more\n"]
    assert b"".join(kubernetes.logs(KEY)) == said.rstrip() + b"\nand more\n"


@pytest.mark.parametrize(
    "written",
    [
        b"rpc error: code = Unavailable desc = connection refused\n",
        b"rpc error: code = NotFound desc = no such model\n",
        b"unable to retrieve container logs for " + b"x" * 100_000,
    ],
    ids=["unavailable", "not found", "long"],
)
def test_a_programs_own_error_is_output(fake_kubernetes, kubernetes, kubelet, written: bytes):
    kubernetes.start(launch_spec(command=["exit", "1"]))
    kubelet.run()
    fake_kubernetes.logs[OURS] = [written]
    assert b"".join(kubernetes.logs(KEY)) == written


@pytest.mark.parametrize(("deleted_s_ago", "stays"), [(3600, False), (60, True), (0, True)])
def test_a_pod_that_others_deleted_by_force_goes_once_its_kubelet_should_have_ended_it(
    fake_kubernetes, kubernetes, kubelet, deleted_s_ago: int, stays: bool
):
    kubernetes.start(launch_spec(command=["sleep"], grace_s=300))
    kubelet.run()
    deleted_at = datetime.now(UTC) - timedelta(seconds=deleted_s_ago)
    deletion = {
        "deletionTimestamp": deleted_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "deletionGracePeriodSeconds": 0,
    }
    fake_kubernetes.update(OURS, lambda pod: pod["metadata"].update(deletion))
    kubernetes.stop(KEY, 300)
    assert seen(kubernetes) is not None
    kubernetes.stop(KEY, 0)  # its kubelet does nothing: its node is gone
    assert (seen(kubernetes) is not None) is stays


def test_a_right_that_is_taken_away_later_is_noticed_after_a_while(
    fake_kubernetes, kubernetes, kubelet, monkeypatch
):
    monkeypatch.setattr("deployments.runtimes.kubernetes.runtime.ASK_RIGHT_AGAIN_S", 0.0)
    kubernetes.start(launch_spec())
    assert fake_kubernetes.pods[OURS]["metadata"]["finalizers"]
    kubelet.run()
    kubernetes.remove(KEY)
    kubelet.run()
    forbidden = error(403, "Forbidden", 'pods "x" is forbidden: User "y" cannot patch')
    fake_kubernetes.once("patch", PODS, *[forbidden] * 2)
    kubernetes.start(launch_spec())
    assert not fake_kubernetes.pods[OURS]["metadata"].get("finalizers")


def test_the_right_is_not_asked_for_with_each_start(fake_kubernetes, kubernetes):
    for attempt in (1, 2, 3):
        kubernetes.start(launch_spec(attempt=attempt))
    dry_runs = [each for each in fake_kubernetes.server if each.params.get("dryRun") == "All"]
    assert sum(each.method.value.upper() == "PATCH" for each in dry_runs) == 1
