"""Endpoints that do not answer, nodes that are lost, containers nobody knows, and evictions."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from clusters import attaching
from clusters.models import Cluster, Endpoint, Node, Registry
from clusters.nodes import delete_node, drain, uncordon
from clusters.services import delete_cluster
from deployments.models import Deployment, DeploymentLog
from deployments.reconciler import clearing
from deployments.reconciler.site import Site as RealSite
from deployments.runtimes.base import Code, Key, Launch, Phase, Place, RuntimeUnavailable, Sighting
from deployments.services import stop_deployment
from deployments.tests.reconciler.conftest import Site
from deployments.tests.reconciler.test_life import reason
from deployments.tests.workloads import allocated
from mlops_platform.api.errors import Conflict

pytestmark = pytest.mark.django_db


def launch(id_: str, attempt: int = 1, image: str = "sleep") -> Launch:
    return Launch(id_, attempt, [Place(0, "a")], "x", image, 1000, 512, 0)


def lose(node: Node) -> None:
    """As if it had been away for longer than anybody waits."""
    long_ago = timezone.now() - timedelta(seconds=301)
    Node.objects.filter(pk=node.pk).update(not_ready_since=long_ago)


# --- Who does not answer ------------------------------------------------------------------------


def test_an_endpoint_that_does_not_answer_closes_its_node_and_loses_nothing(site: Site, a: Node):
    site.look()
    row = site.submit()
    site.settle()
    site.away(a)
    site.look()
    node = Node.objects.select_related("endpoint").get(pk=a.pk)
    assert node.endpoint is not None
    assert node.effective_state == "NOT_READY"
    assert "away" in node.endpoint.error
    assert site.status(row) == "RUNNING"
    late = site.submit()
    site.settle()
    assert site.status(late) == "QUEUED"
    site.away(a, False)
    site.settle()
    node = Node.objects.select_related("endpoint").get(pk=a.pk)
    assert node.endpoint is not None
    assert (node.effective_state, node.not_ready_since, node.endpoint.error) == ("READY", None, "")
    assert (site.status(row), site.status(late)) == ("RUNNING", "RUNNING")
    assert site.fresh(row).attempt == 1


def test_one_that_is_to_start_there_waits_and_says_so(site: Site, a: Node):
    site.look()
    row = site.submit()
    site.cycle()
    site.away(a)
    site.look()
    assert site.status(row) == "STARTING"
    assert reason(row)["message"] == "Its node a does not answer: it goes on as soon as it does."
    site.away(a, False)
    site.look()
    assert site.status(row) == "RUNNING"


def test_a_dead_endpoint_is_asked_less_and_less_often(site: Site, a: Node, monkeypatch):
    asked = []

    def refuse(_: object) -> list[Sighting]:
        asked.append(1)
        raise RuntimeUnavailable("away")

    monkeypatch.setattr(site.twin(a), "observe", refuse)
    for _ in range(5):
        site.look()
    assert len(asked) == 1


def test_what_ran_on_a_lost_node_runs_elsewhere_and_its_remains_are_killed(
    site: Site, a: Node, b: Node
):
    site.look()
    row = site.submit()
    site.settle()
    home = site.node_of(row)
    old = site.key(row)
    site.away(home)
    site.look()
    assert site.status(row) == "RUNNING"
    lose(home)
    site.settle()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.attempt) == ("RUNNING", 2)
    assert (fresh.retry_count, fresh.preemption_count) == (0, 0)
    assert site.node_of(row) != home
    assert "REQUEUED" in site.events(row)
    site.away(home, False)
    site.look()
    assert old not in {each.key for each in site.twin(home).observe()}
    assert DeploymentLog.objects.filter(deployment=row, attempt=1).exists()
    assert site.status(row) == "RUNNING"


def test_whoever_was_to_stop_on_a_lost_node_has_stopped(site: Site, a: Node, dev):
    site.look()
    row = site.submit()
    site.settle()
    site.away(a)
    stop_deployment(dev, site.fresh(row))
    site.look()
    assert site.status(row) == "STOPPING"
    lose(a)
    site.look()
    assert site.status(row) == "STOPPED"
    assert allocated(site.cluster) == (0, 0, 0)


def test_a_gang_with_a_lost_part_leaves_as_a_whole(site: Site, a: Node, b: Node):
    site.look()
    row = site.submit(replicas=4)
    site.settle()
    site.away(b)
    site.look()
    lose(b)
    site.look()
    site.look()
    assert site.status(row) == "QUEUED"
    assert reason(row)["code"] == "NODE_LOST"
    assert site.twin(a).observe() == []


@pytest.mark.parametrize(
    ("exit_code", "status"), [(143, "QUEUED"), (137, "QUEUED"), (255, "QUEUED"), (1, "FAILED")]
)
def test_what_a_restart_of_its_engine_cut_off_is_nobodys_failure(
    site: Site, a: Node, exit_code: int, status: str
):
    site.look()
    row = site.submit()
    site.settle()
    site.away(a)
    site.look()
    site.twin(a).finish(site.key(row), exit_code)
    site.away(a, False)
    site.look()
    assert site.status(row) == status


# --- What nobody knows --------------------------------------------------------------------------


def test_a_container_of_no_deployment_is_removed(site: Site, a: Node):
    site.look()
    site.twin(a).start(launch("01a20000-0000-7000-8000-000000000000"))
    site.look()
    site.look()
    assert site.twin(a).observe() == []


def test_a_container_of_an_older_attempt_is_removed_and_the_present_one_left(site: Site, a: Node):
    site.look()
    row = site.submit("exit:1", max_retries=1)
    site.settle()
    site.end_pauses()
    site.cycle()
    site.twin(a).start(launch(str(row.pk), attempt=1))
    site.look()
    site.look()
    assert site.twin(a).observe() == []
    assert site.status(row) == "FAILED"
    assert site.fresh(row).attempt == 2


def test_a_container_that_is_gone_is_started_again_after_a_pause(site: Site, a: Node):
    site.look()
    row = site.submit()
    site.settle()
    site.twin(a).vanish(site.key(row))
    site.look()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.retry_count) == ("QUEUED", 0)
    assert fresh.retry_at is not None
    assert reason(row)["code"] == "CONTAINER_LOST"
    site.end_pauses()
    site.settle()
    assert (site.status(row), site.fresh(row).attempt) == ("RUNNING", 2)


def test_one_that_vanishes_before_it_ran_is_launched_once_more(site: Site, a: Node):
    site.look()
    row = site.submit("warming")
    site.settle()
    site.twin(a).vanish(site.key(row))
    site.look()
    assert len(site.twin(a).launches) == 2
    assert (site.status(row), site.fresh(row).attempt) == ("STARTING", 1)


def test_one_that_was_made_but_never_told_to_begin_is_launched_once_more(
    site: Site, a: Node, monkeypatch
):
    site.look()
    row = site.submit()
    site.cycle()
    made = Sighting(site.key(row), Phase.PENDING, begun=False, node="a")
    twin = site.twin(a)
    twin_observe = twin.observe
    monkeypatch.setattr(twin, "observe", lambda ids: twin_observe(ids) if twin.launches else [made])
    site.look()
    assert (site.status(row), len(twin.launches)) == ("RUNNING", 1)


def test_what_the_machine_ended_is_nobodys_failure(site: Site, a: Node):
    site.look()
    row = site.submit()
    site.settle()
    site.twin(a).finish(site.key(row), 137, Code.DISRUPTED)
    site.look()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.retry_count, fresh.retry_at) == ("QUEUED", 0, None)


# --- Who makes room -----------------------------------------------------------------------------


def test_a_preemptor_starts_only_once_its_victims_are_gone(site: Site, a: Node):
    site.look()
    victims = [site.submit("deaf", gpu=1) for _ in range(2)]
    site.settle()
    urgent = site.submit(priority="HIGH", gpu=2)
    site.cycle()
    assert [site.status(each) for each in victims] == ["STOPPING", "STOPPING"]
    assert site.status(urgent) == "STARTING"
    assert allocated(site.cluster) == (1000, 512, 2)  # theirs is the preemptor's already
    site.look()
    assert site.status(urgent) == "STARTING"
    assert reason(urgent)["code"] == "WAITING_FOR_VICTIMS"
    assert reason(urgent)["details"]["count"] == 2
    site.twin(a).finish(site.key(victims[0]), 0)
    site.look()
    assert site.status(victims[0]) == "QUEUED"
    assert site.status(urgent) == "STARTING"
    site.overdue(victims[1])
    site.look()
    site.look()
    assert site.status(urgent) == "RUNNING"
    for each in victims:
        fresh = site.fresh(each)
        assert (fresh.status, fresh.preemption_count, fresh.retry_count) == ("QUEUED", 1, 0)
        assert reason(each)["code"] == "PREEMPTED"


def test_a_preemptor_that_is_stopped_before_it_starts_leaves_room_for_the_next(
    site: Site, a: Node, dev
):
    site.look()
    victim = site.submit("deaf", gpu=2)
    site.settle()
    urgent = site.submit(priority="HIGH", gpu=2)
    site.cycle()
    site.look()
    next_one = site.submit(priority="HIGH", gpu=2)
    stop_deployment(dev, site.fresh(urgent))
    site.look()
    assert site.status(urgent) == "STOPPED"
    site.settle()
    assert site.status(next_one) == "STARTING"  # the victim is still there
    assert site.twin(a).launches[-1].deployment_id == str(victim.pk)
    site.overdue(victim)
    site.look()
    site.look()
    assert site.status(next_one) == "RUNNING"
    assert site.status(victim) == "QUEUED"


def test_a_victim_that_is_stopped_meanwhile_does_not_come_back(site: Site, a: Node, dev):
    site.look()
    victim = site.submit("deaf", gpu=2)
    site.settle()
    urgent = site.submit(priority="HIGH", gpu=2)
    site.cycle()
    assert stop_deployment(dev, site.fresh(victim)).status == "STOPPING"
    site.overdue(victim)
    site.look()
    site.look()
    assert (site.status(victim), site.status(urgent)) == ("STOPPED", "RUNNING")


def test_others_on_a_node_start_beside_those_that_leave_where_there_is_room(site: Site, a: Node):
    site.look()
    site.submit("deaf", gpu=2, cpu_milli=1000)
    site.settle()
    site.submit(priority="HIGH", gpu=2, cpu_milli=1000)
    small = site.submit(gpu=0, cpu_milli=500)
    site.cycle()
    site.look()
    assert site.status(small) == "RUNNING"


@pytest.fixture
def remains(site: Site, a: Node, monkeypatch: pytest.MonkeyPatch) -> Key:
    """Of one that was lost with its node, which is back, and full of it. It does not die at once,
    and a cycle comes in between."""
    site.look()
    row = site.submit(gpu=1)
    site.settle()
    left = site.key(row)
    site.away(a)
    site.look()
    lose(a)
    site.look()
    assert site.status(row) == "QUEUED"
    clear, kill, kills = clearing.clear, site.twin(a).stop, iter([False])

    def then_plan(seen: RealSite) -> clearing.Cleared:
        cleared = clear(seen)
        site.cycle()
        return cleared

    def take_time(key: Key, grace_s: int) -> None:
        if next(kills, True):
            kill(key, grace_s)

    monkeypatch.setattr(clearing, "clear", then_plan)
    monkeypatch.setattr(site.twin(a), "stop", take_time)
    site.away(a, False)
    return left


def test_nobody_is_launched_beside_remains_for_which_there_is_no_room(
    site: Site, a: Node, remains: Key
):
    row = site.submit(priority="HIGH", gpu=2)
    launches = len(site.twin(a).launches)
    site.look()
    assert site.status(row) == "STARTING"
    assert len(site.twin(a).launches) == launches
    assert reason(row)["code"] == "START_DELAYED"
    assert "left on its node of earlier attempts" in reason(row)["message"]
    site.look()
    assert site.status(row) == "RUNNING"
    assert {each.key for each in site.twin(a).observe()} == {site.key(row)}


def test_whoever_fits_beside_remains_is_launched(site: Site, a: Node, remains: Key):
    row = site.submit(priority="HIGH", gpu=1)
    site.look()
    assert site.status(row) == "RUNNING"


# --- Who is emptied -----------------------------------------------------------------------------


def test_a_drained_node_is_empty_once_what_ran_there_is_gone(site: Site, a: Node):
    site.look()
    row = site.submit("deaf")
    site.settle()
    drain(a)
    site.cycle()
    assert site.status(row) == "STOPPING"
    assert allocated(site.cluster) == (1000, 512, 1)  # nobody took it over
    site.overdue(row)
    site.look()
    site.look()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.preemption_count, fresh.retry_count) == ("QUEUED", 0, 0)
    assert allocated(site.cluster) == (0, 0, 0)
    uncordon(Node.objects.get(pk=a.pk))
    site.settle()
    assert site.status(row) == "RUNNING"


def test_a_node_is_deleted_only_once_nothing_runs_on_it(site: Site, a: Node):
    site.look()
    row = site.submit("deaf")
    site.settle()
    delete_node(a, drain=True)
    site.cycle()
    site.look()
    assert Node.objects.filter(pk=a.pk).exists()
    site.overdue(row)
    site.look()
    site.look()
    assert not Node.objects.filter(pk=a.pk).exists()
    assert site.status(row) == "QUEUED"


def linger(site: Site, dev: User) -> Deployment:
    """One that was evicted and is still there, while nothing is booked on its node."""
    site.look()
    victim = site.submit("deaf", gpu=2)
    site.settle()
    urgent = site.submit(priority="HIGH", gpu=2)
    site.cycle()
    site.look()
    stop_deployment(dev, site.fresh(urgent))
    site.look()
    assert (site.status(urgent), site.status(victim)) == ("STOPPED", "STOPPING")
    assert allocated(site.cluster) == (0, 0, 0)
    return victim


def test_a_node_is_not_empty_while_somebody_evicted_is_still_there(site: Site, a: Node, dev: User):
    victim = linger(site, dev)
    with pytest.raises(Conflict, match="What was evicted from a has not ended yet"):
        delete_node(a)
    assert Node.objects.get(pk=a.pk).pending is None
    leaving = delete_node(a, drain=True)
    assert leaving is not None
    assert leaving.pending == {"delete": True}
    site.settle()
    assert Node.objects.filter(pk=a.pk).exists()
    site.overdue(victim)
    site.look()
    site.look()
    assert site.status(victim) == "QUEUED"
    assert site.twin(a).observe() == []
    assert not Endpoint.objects.filter(cluster=site.cluster).exists()


def test_a_node_waits_for_the_evicted_after_those_who_came_for_them(site: Site, a: Node):
    site.look()
    victim = site.submit("deaf", gpu=2)
    site.settle()
    site.submit(priority="HIGH", gpu=2)
    site.cycle()
    delete_node(a, drain=True)
    site.settle()
    assert allocated(site.cluster) == (0, 0, 0)
    assert Node.objects.get(pk=a.pk).pending == {"delete": True}
    site.twin(a).finish(site.key(victim), 0)
    site.look()
    assert not Node.objects.filter(pk=a.pk).exists()
    assert site.twin(a).observe() == []


def test_an_engine_is_not_exchanged_while_somebody_evicted_is_still_there(
    site: Site, a: Node, dev: User
):
    victim = linger(site, dev)
    node = Node.objects.select_related("cluster", "endpoint").get(pk=a.pk)
    body = {"endpoint": {"url": "unix:///other.sock"}}
    with pytest.raises(Conflict, match="What runs on a runs at"):
        attaching.change_node(node, body, trusted=True)
    assert Endpoint.objects.get(cluster=site.cluster).url == "tcp://a:2376"
    site.overdue(victim)
    site.look()
    site.look()
    attaching.change_node(node, body, trusted=True)
    assert Endpoint.objects.get(cluster=site.cluster).url == "unix:///other.sock"


def test_a_cluster_in_use_goes_once_all_of_it_has_stopped(site: Site, a: Node):
    site.look()
    site.submit("deaf")
    site.submit()
    site.submit(gpu=2)
    site.settle()
    delete_cluster(site.cluster, force=True)
    site.look()
    assert Cluster.objects.filter(pk=site.cluster.pk, state="DELETING").exists()
    site.twin(a).finish(site.twin(a).observe()[0].key, 0)
    site.look()
    site.look()
    assert not Cluster.objects.filter(pk=site.cluster.pk).exists()
    assert site.twin(a).observe() == []


def test_a_full_pass_costs_the_same_for_few_and_many(
    site: Site, a: Node, django_assert_num_queries
):
    site.look()
    rows = [site.submit(cpu_milli=1, ram_mib=1, gpu=0) for _ in range(3)]
    site.settle()
    with django_assert_num_queries(6):  # cluster, rows, endpoints, nodes, registries, who is seen
        site.look()
    rows += [site.submit(cpu_milli=1, ram_mib=1, gpu=0) for _ in range(20)]
    site.settle()
    assert {site.status(row) for row in rows} == {"RUNNING"}
    with django_assert_num_queries(6):
        site.look()


@pytest.mark.parametrize("exit_code", [0, 143])
def test_what_somebody_else_told_to_end_is_nobodys_failure(site: Site, a: Node, exit_code: int):
    """As `kubectl delete pod` does, or an eviction by Kubernetes."""
    site.look()
    row = site.submit("deaf")
    site.settle()
    site.twin(a).stop(site.key(row), 60)
    site.twin(a).finish(site.key(row), exit_code)
    site.look()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.retry_count) == ("QUEUED", 0)
    assert reason(row)["code"] == "DISRUPTED"


# --- What a close reading found ---------------------------------------------------------------


def test_a_gang_is_not_let_go_while_a_part_of_it_may_run_unseen(site: Site, a: Node, b: Node):
    site.look()
    row = site.submit(replicas=4)
    site.settle()
    site.away(b)
    site.twin(a).finish(site.key(row, 0), 1)
    site.look()
    site.look()
    fresh = site.fresh(row)
    assert (fresh.status, fresh.next_status) == ("STOPPING", "FAILED")
    assert allocated(site.cluster) == (4000, 2048, 4)
    site.away(b, False)
    site.look()
    site.look()
    assert site.status(row) == "FAILED"
    assert site.seen() == set()


def test_a_node_that_comes_back_is_looked_through_before_anybody_is_launched_there(
    site: Site, a: Node
):
    site.look()
    row = site.submit()
    site.settle()
    site.away(a)
    site.look()
    site.twin(a).finish(site.key(row), 137)
    other = site.submit(gpu=0)
    site.away(a, False)
    site.look(str(other.pk))  # a pass that was asked for another's sake
    assert site.status(row) == "QUEUED"
    assert reason(row)["code"] == "DISRUPTED"


def test_a_launch_that_is_answered_with_an_error_closes_nothing_and_ends_elsewhere(
    site: Site, a: Node, monkeypatch
):
    site.look()
    start = site.twin(a).start

    def disk_full(launch: Launch) -> None:
        if launch.image == "large":
            raise RuntimeUnavailable("no space left on device")
        start(launch)

    monkeypatch.setattr(site.twin(a), "start", disk_full)
    stuck, fine = site.submit("large"), site.submit()
    site.settle()
    assert (site.status(stuck), site.status(fine)) == ("STARTING", "RUNNING")
    assert "no space left on device" in reason(stuck)["message"]
    assert Node.objects.get(pk=a.pk).effective_state == "READY"
    long_ago = timezone.now() - timedelta(minutes=11)
    Deployment.objects.filter(pk=stuck.pk).update(admitted_at=long_ago)
    site.look()
    site.look()
    assert site.status(stuck) == "QUEUED"
    assert reason(stuck)["code"] == "UNSCHEDULABLE"


def test_credentials_that_cannot_be_opened_lose_nothing(site: Site, a: Node):
    site.look()
    row = site.submit()
    site.settle()
    Registry.objects.create(cluster=site.cluster, host="r.test", username="x", secret="not sealed")
    site.look()
    assert Node.objects.get(pk=a.pk).effective_state == "READY"
    assert site.status(row) == "RUNNING"


def test_output_is_there_as_soon_as_the_end_is_told(site: Site, a: Node, monkeypatch):
    site.look()
    row = site.submit()
    site.settle()
    site.twin(a).write(site.key(row), b"the last line")
    site.twin(a).finish(site.key(row), 0)

    def not_yet(_: object) -> None:
        raise RuntimeUnavailable("busy")

    monkeypatch.setattr(site.twin(a), "remove", not_yet)
    site.look()
    assert site.status(row) == "COMPLETED"
    assert bytes(DeploymentLog.objects.get(deployment=row).output) == b"the last line"


def test_outputs_of_the_last_attempts_are_kept(site: Site, a: Node):
    site.look()
    row = site.submit("exit:1", kind="service")
    for _ in range(22):
        site.cycle()
        site.look()
        site.end_pauses()
    kept = DeploymentLog.objects.filter(deployment=row).values_list("attempt", flat=True)
    assert sorted(kept) == list(range(3, 23))
