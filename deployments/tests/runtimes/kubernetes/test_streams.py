"""Streams of the API server: logs and watches."""

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest

from deployments.runtimes.base import NODES_CHANGED, RuntimeUnavailable
from deployments.tests.runtimes.kubernetes.api_server import AS_EVER, NODES, PODS, error
from deployments.tests.runtimes.kubernetes.cluster import (
    DEPLOYMENT,
    KEY,
    NAMESPACE,
    POD,
    launch_spec,
)

OURS = (NAMESPACE, POD)


def text(pieces):
    return b"".join(pieces)


@pytest.fixture
def runs(kubernetes, kubelet):
    kubernetes.start(launch_spec())
    kubelet.run()


@pytest.mark.usefixtures("runs")
def test_logs_are_bytes_from_the_end(fake_kubernetes, kubernetes):
    fake_kubernetes.logs[OURS] = [b"one\n", b"\xfftwo\n", b"three\n"]
    assert text(kubernetes.logs(KEY)) == b"one\n\xfftwo\nthree\n"
    assert text(kubernetes.logs(KEY, tail=1)) == b"three\n"
    assert text(kubernetes.logs(KEY, tail=0)) == b""


@pytest.mark.usefixtures("runs")
def test_logs_since_a_moment_are_requested_in_utc(fake_kubernetes, kubernetes):
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    list(kubernetes.logs(KEY, since=noon.astimezone(timezone(timedelta(hours=5)))))
    asked = list(fake_kubernetes.server)[-1]
    assert dict(asked.params) == {"container": "main", "sinceTime": "2026-01-01T12:00:00Z"}


@pytest.mark.usefixtures("runs")
def test_logs_are_followed_until_the_pod_ends(fake_kubernetes, kubernetes, kubelet):
    fake_kubernetes.logs[OURS] = [b"one\n"]
    following = kubernetes.logs(KEY, follow=True)
    assert next(following) == b"one\n"
    fake_kubernetes.logs[OURS].append(b"two\n")
    assert next(following) == b"two\n"  # it came before the stream was over
    kubernetes.stop(KEY, 1)
    kubelet.run()
    assert text(following) == b""


@pytest.mark.usefixtures("runs")
def test_a_follower_may_leave(fake_kubernetes, kubernetes):
    fake_kubernetes.logs[OURS] = [b"one\n"]
    following = kubernetes.logs(KEY, follow=True)
    next(following)
    following.close()
    assert kubernetes.observe()


def test_a_missing_or_waiting_pod_has_no_logs(kubernetes, kubelet):
    assert text(kubernetes.logs(KEY)) == b""
    kubernetes.start(launch_spec())
    kubelet.step()
    assert text(kubernetes.logs(KEY, follow=True)) == b""


@pytest.mark.usefixtures("runs")
def test_logs_of_a_kubelet_that_is_away_are_unavailable(fake_kubernetes, kubernetes):
    fake_kubernetes.once("fetch", PODS, AS_EVER, error(500, "", "dial tcp: refused"))
    with pytest.raises(RuntimeUnavailable, match="dial tcp"):
        list(kubernetes.logs(KEY))


class Watch:
    """A watch in a thread, and what it has reported."""

    def __init__(self, runtime):
        self.stop = threading.Event()
        self.reported = []
        self.problem = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, args=(runtime,), daemon=True)
        self._thread.start()

    def _work(self, runtime):
        try:
            for each in runtime.watch(self.stop):
                self._report(each)
        except RuntimeUnavailable as problem:
            self.problem = problem
        self._report("over")

    def _report(self, what):
        with self._changed:
            self.reported.append(what)
            self._changed.notify_all()

    def wait_for(self, what, count=1):
        with self._changed:
            assert self._changed.wait_for(lambda: self.reported.count(what) >= count, 10), (
                self.reported
            )

    def end(self):
        self.stop.set()
        self.wait_for("over")


@pytest.fixture
def watch(kubernetes):
    watch = Watch(kubernetes)
    yield watch
    watch.end()


def requests(api, plural):
    return [request.params for request in api.server if request.resource.plural == plural]


def watches(api, plural="pods"):
    watching = [each for each in requests(api, plural) if each.get("watch") == "true"]
    return [int(params["resourceVersion"]) for params in watching]


def lists(api):
    return sum(each.get("limit") == "1" for each in requests(api, "pods"))


def until_watched(api, watch, count=1, plural="pods"):
    for _ in range(500):
        if len(watches(api, plural)) >= count:
            return
        watch.stop.wait(0.02)
    raise AssertionError("no request watches")


def test_a_watch_reports_changes_as_they_come(fake_kubernetes, kubernetes, kubelet, watch):
    until_watched(fake_kubernetes, watch)
    kubernetes.start(launch_spec())
    watch.wait_for(DEPLOYMENT)
    kubelet.run()
    kubernetes.remove(KEY)
    watch.wait_for(DEPLOYMENT, 4)  # created, bound, running, gone


def test_a_watch_resumes_where_it_was_and_yields_none_in_between(
    fake_kubernetes, kubernetes, watch
):
    until_watched(fake_kubernetes, watch)
    kubernetes.start(launch_spec())
    until_watched(fake_kubernetes, watch, 2)
    first, second, *_ = watches(fake_kubernetes)
    assert second > first
    assert watch.reported.count(DEPLOYMENT) == 1  # once, though the second request watches it again
    assert lists(fake_kubernetes) == 1


def test_a_change_between_two_requests_is_not_missed(fake_kubernetes, kubernetes, watch):
    until_watched(fake_kubernetes, watch)
    watch.wait_for(None, 2)  # once before the first request, once after it
    kubernetes.start(launch_spec())
    watch.wait_for(DEPLOYMENT)


@pytest.mark.parametrize("how", ["within the stream", "as an answer"])
def test_a_version_that_is_too_old_is_replaced(fake_kubernetes, kubernetes, watch, how):
    until_watched(fake_kubernetes, watch)
    if how == "as an answer":
        fake_kubernetes.once("watch", PODS, error(410, "Expired", "too old resource version"))
    else:
        fake_kubernetes.forget()
    for _ in range(500):
        if lists(fake_kubernetes) == 2:
            break
        watch.stop.wait(0.02)
    until_watched(fake_kubernetes, watch, len(watches(fake_kubernetes)) + 1)
    kubernetes.start(launch_spec())
    watch.wait_for(DEPLOYMENT)
    assert lists(fake_kubernetes) == 2
    assert watch.problem is None


@pytest.mark.parametrize(
    "answer",
    [
        error(500, "InternalError", "etcd is away"),
        ({"type": "ERROR", "object": {"code": 500, "message": "etcd is away"}},),
    ],
)
@pytest.mark.parametrize("of", [PODS, NODES], ids=["pods", "nodes"])
def test_a_watch_ends_when_the_server_goes_away(fake_kubernetes, kubernetes, answer, of):
    fake_kubernetes.once("watch", of, answer)
    with pytest.raises(RuntimeUnavailable, match="etcd is away"):
        list(kubernetes.watch(threading.Event()))


def test_a_watch_that_is_stopped_before_it_begins_makes_no_request(fake_kubernetes, kubernetes):
    over = threading.Event()
    over.set()
    assert list(kubernetes.watch(over)) == []
    assert not list(fake_kubernetes.server)


def cordon(node):
    node["spec"]["unschedulable"] = True


def not_ready(node):
    node["status"]["conditions"] = [{"type": "Ready", "status": "False"}]


def taint(node):
    node["spec"]["taints"] = [{"key": "broken", "effect": "NoSchedule"}]


def lose_gpus(node):
    node["status"]["allocatable"]["cpu"] = "1"


def label(node):
    node["metadata"]["labels"]["zone"] = "b"


@pytest.mark.parametrize("change", [cordon, not_ready, taint, lose_gpus, label])
def test_a_watch_reports_what_changes_a_node(fake_kubernetes, watch, change):
    until_watched(fake_kubernetes, watch, plural="nodes")
    fake_kubernetes.change_node("node-1", change)
    watch.wait_for(NODES_CHANGED)


def test_a_watch_reports_nodes_that_come_and_go(fake_kubernetes, watch):
    until_watched(fake_kubernetes, watch, plural="nodes")
    fake_kubernetes.add_node("node-3")
    watch.wait_for(NODES_CHANGED)
    fake_kubernetes.delete_node("node-1")
    watch.wait_for(NODES_CHANGED, 2)


def test_a_kubelet_that_reports_nothing_new_changes_no_node(fake_kubernetes, watch):
    def report(node):
        [ready] = node["status"]["conditions"]
        ready["lastHeartbeatTime"] = "2026-01-01T00:00:10Z"
        node["status"]["images"] = [{"names": [], "sizeBytes": 1}]

    until_watched(fake_kubernetes, watch, plural="nodes")
    fake_kubernetes.change_node("node-1", report)
    fake_kubernetes.change_node("node-2", cordon)
    watch.wait_for(NODES_CHANGED)
    until_watched(fake_kubernetes, watch, 2, plural="nodes")  # all of the first request has come
    assert watch.reported.count(NODES_CHANGED) == 1


def test_without_the_right_to_watch_nodes_pods_are_watched_all_the_same(
    fake_kubernetes, kubernetes
):
    forbidden = error(403, "Forbidden", 'nodes is forbidden: User "x" cannot watch')
    fake_kubernetes.once("watch", NODES, *[forbidden] * 20)
    watch = Watch(kubernetes)
    until_watched(fake_kubernetes, watch)
    until_watched(fake_kubernetes, watch, plural="nodes")
    kubernetes.start(launch_spec())
    watch.wait_for(DEPLOYMENT)
    assert watch.problem is None
    watch.end()
