"""POST /api/deployments/bulk"""

from functools import partial

import pytest
from redis.connection import AbstractConnection

from clusters.tests.allocation import make_cluster, make_node
from deployments import redis_queues
from deployments.models import Deployment, Status
from deployments.tests.workloads import body, make, timeline
from organizations.models import Role
from organizations.tests.people import all_at_once
from scheduler import cycle, wakeup
from scheduler.models import Trigger

PATH = "/api/deployments/bulk"
SINGLE = "/api/deployments"


def submit(client, *bodies, key=None):
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(PATH, {"deployments": list(bodies)}, headers=headers)


@pytest.fixture
def other_cluster(dev, sams_org):
    """Of another organization, where Dev is a developer as well."""
    sams_org.memberships.create(user=dev, role=Role.DEVELOPER)
    return make_cluster(sams_org, name="other")


def test_all_are_queued_in_the_order_given(api, dev, cluster, other_cluster):
    given = [
        body(cluster, name="a"),
        body(other_cluster, name="b", priority="high", env={"A": "1"}),
        body(cluster, name="c", replicas=3),
    ]
    response = submit(api(dev), *given)
    assert response.status_code == 201
    answers = response.json()
    assert [answer["name"] for answer in answers] == ["a", "b", "c"]
    assert [answer["cluster_id"] for answer in answers] == [g["cluster_id"] for g in given]
    assert [answer["priority"] for answer in answers] == ["LOW", "HIGH", "LOW"]
    ids = [answer["id"] for answer in answers]
    assert ids == sorted(ids)
    rows = Deployment.objects.order_by("id")
    assert [str(row.pk) for row in rows] == ids
    assert [timeline(row) for row in rows] == [[("SUBMITTED", "dev")]] * 3


def test_an_item_is_answered_and_kept_as_a_submit_is(api, dev, cluster):
    single = api(dev).post(SINGLE, body(cluster, args=["x"])).json()
    [answer] = submit(api(dev), body(cluster, args=["x"])).json()
    own = {"id", "created_at", "warnings"}
    assert {k: v for k, v in answer.items() if k not in own} == {
        k: v for k, v in single.items() if k not in own
    }
    own |= {"queued_at"}
    one, two = (dict(row) for row in Deployment.objects.order_by("id").values())
    assert {k: v for k, v in one.items() if k not in own} == {
        k: v for k, v in two.items() if k not in own
    }


def test_each_has_its_place_and_each_cluster_one_bell(
    transactional_db, api, dev, cluster, other_cluster, monkeypatch
):
    woken = []
    monkeypatch.setattr(wakeup, "request_cycle", lambda *woken_for: woken.append(woken_for))
    here, there = body(cluster), body(other_cluster)
    answers = submit(api(dev), here, there, here, {**here, "priority": "HIGH"}, there).json()
    assert [answer["queue_position"] for answer in answers] == [2, 1, 3, 1, 2]
    assert redis_queues.lengths(cluster.pk, ["HIGH", "LOW"]) == {"HIGH": 1, "LOW": 2}
    assert redis_queues.lengths(other_cluster.pk, ["LOW"]) == {"LOW": 2}
    assert woken == [(cluster.pk, Trigger.SUBMITTED), (other_cluster.pk, Trigger.SUBMITTED)]


def test_two_hundred_are_scheduled(transactional_db, api, dev, cluster):
    """As many as fit start, in the order given, by the cycle that the bulk has asked for."""
    cluster.total_gpu = 150
    cluster.total_cpu_milli = cluster.total_ram_mib = 10**6
    cluster.save()
    ids = [answer["id"] for answer in submit(api(dev), *[body(cluster)] * 200).json()]
    assert wakeup.is_flag_set(cluster.pk)
    cycle.run(cluster.pk, Trigger.SUBMITTED)
    while Deployment.objects.filter(status=Status.RUNNING).count() < 150:
        outcome = cycle.run(cluster.pk, Trigger.SUBMITTED)
        assert outcome is not None
        assert outcome.plan.starts
    statuses = dict(Deployment.objects.values_list("id", "status"))
    shown = [statuses[key] for key in sorted(statuses)]
    assert [str(key) for key in sorted(statuses)] == ids
    assert shown == [Status.RUNNING] * 150 + [Status.QUEUED] * 50
    assert redis_queues.lengths(cluster.pk, ["LOW"]) == {"LOW": 50}


def test_the_number_of_queries_does_not_follow_the_items(
    api, dev, org, cluster, other_cluster, django_assert_num_queries
):
    # the caller, the clusters, the roles, the priority classes;
    # the time, two inserts, and for each cluster what the limits of its queue leave, between a
    # savepoint and its release; the nodes of each cluster, for warnings
    submit(api(dev), body(cluster), body(other_cluster))  # counts the queues
    for count in (10, 100):
        given = [body(cluster), body(other_cluster)] * (count // 2)
        with django_assert_num_queries(13):
            assert submit(api(dev), *given).status_code == 201


def test_nor_with_everything_that_has_to_be_looked_up(api, dev, org, django_assert_num_queries):
    # besides: nodes, what is needed; then the locks of clusters and rows, and the links
    clusters = [make_cluster(org, name=f"c{number}") for number in range(3)]
    needed = [make(each, dev) for each in clusters]
    submit(api(dev), *map(body, clusters))  # counts the queues
    for each in clusters:
        make_node(each, labels={"zone": "b"})
    for count in (10, 100):
        given = [
            body(
                clusters[number % 3],
                node_selector={"zone": "b"},
                depends_on=[str(needed[number % 3].pk)],
            )
            for number in range(count)
        ]
        with django_assert_num_queries(22):  # two for the savepoint in which both are locked
            assert submit(api(dev), *given).status_code == 201


def test_redis_is_spoken_to_as_often_for_many(transactional_db, api, dev, cluster, monkeypatch):
    sent = []
    real = AbstractConnection.send_packed_command

    def send(self, command, *args, **options):
        sent.append(command)
        real(self, command, *args, **options)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", send)
    spoken = []
    for count in (1, 1, 100):  # the first one sends the task as well
        sent.clear()
        assert submit(api(dev), *[body(cluster)] * count).status_code == 201
        spoken.append(len(sent))
    assert (
        spoken[0] > spoken[1] == spoken[2] == 3
    )  # enter the queue, wake up, ask for the positions


def test_a_redis_that_is_away_refuses_nobody(
    transactional_db, api, dev, cluster, settings, tmp_path
):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    response = submit(api(dev), body(cluster), body(cluster))
    assert response.status_code == 201
    assert [answer["queue_position"] for answer in response.json()] == [None, None]


# --- Dependencies ----------------------------------------------------------------------------


def test_items_wait_for_deployments_that_are_there(api, dev, cluster, other_cluster):
    here, there = make(cluster, dev), make(other_cluster, dev)
    done = make(cluster, dev, Status.COMPLETED)
    answers = submit(
        api(dev),
        body(cluster, depends_on=[str(here.pk), str(done.pk)]),
        body(other_cluster, depends_on=[str(there.pk)]),
        body(cluster),
    ).json()
    assert [answer["depends_on"] for answer in answers] == [
        [str(here.pk), str(done.pk)],
        [str(there.pk)],
        [],
    ]
    codes = [answer["reason"]["code"] for answer in answers]
    assert codes == ["WAITING_FOR_DEPENDENCIES"] * 2 + ["NOT_YET_EVALUATED"]
    pending = {str(row.pk): row.pending_dependencies for row in Deployment.objects.all()}
    assert [pending[answer["id"]] for answer in answers] == [1, 1, 0]


def test_bulks_that_lock_the_same_clusters_never_wait_in_a_ring(
    transactional_db, api, dev, cluster, other_cluster
):
    here, there = (
        body(each, depends_on=[str(make(each, dev).pk)]) for each in (cluster, other_cluster)
    )
    bulks = [[here, there] * 20, [there, here] * 20] * 2
    answers = all_at_once(*[partial(submit, api(dev), *bulk) for bulk in bulks])
    assert [answer.status_code for answer in answers] == [201] * 4
    assert Deployment.objects.filter(pending_dependencies=1).count() == 160
