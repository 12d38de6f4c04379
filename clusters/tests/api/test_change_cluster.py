"""PATCH /api/clusters/{id}"""

import pytest

from clusters.models import State
from clusters.services import clusters
from clusters.tests.allocation import make_cluster, make_node, row


def path(cluster):
    return f"/api/clusters/{cluster.pk}"


@pytest.mark.parametrize(
    ("change", "column", "value"),
    [
        ({"total_cpu": 2.5}, "total_cpu_milli", 2500),
        ({"total_ram": 1024}, "total_ram_mib", 1024),
        ({"total_gpu": 0}, "total_gpu", 0),
        ({"policy": {"ordering": "fifo"}}, "ordering", "fifo"),
        ({"policy": {"ordering": "fair_share"}}, "ordering", "fair_share"),
        ({"policy": {"max_preemptions": 0}}, "max_preemptions", 0),
        ({"policy": {"placement": "spread"}}, "placement", "spread"),
        ({"policy": {"queueing": "easy_backfill"}}, "queueing", "easy_backfill"),
        ({"state": "PAUSED"}, "state", "PAUSED"),
        ({"state": "draining"}, "state", "DRAINING"),
    ],
)
def test_a_change_wakes_the_scheduler(api, ada, cluster, woken, change, column, value):
    before = row(cluster)
    response = api(ada).patch(path(cluster), change)
    assert response.status_code == 200
    after = row(cluster)
    assert after.pop("changed_at") > before.pop("changed_at")
    assert (after.pop("state_change") is not None) == (column == "state")
    del before["state_change"]
    assert after == {**before, column: value}
    assert woken == [cluster.pk]


@pytest.mark.parametrize("change", [{}, {"name": "east"}, {"total_gpu": 4}, {"policy": {}}])
def test_a_change_that_the_scheduler_ignores_does_not_wake_it(api, ada, cluster, woken, change):
    before = row(cluster)
    response = api(ada).patch(path(cluster), change)
    assert response.status_code == 200
    assert response.json()["name"] == change.get("name", "west")
    assert row(cluster) == {**before, "name": change.get("name", "west")}
    assert woken == []


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
@pytest.mark.parametrize("change", [{"total_gpu": 8}, {"nonsense": 1}])
def test_others_may_not(api, cluster, woken, person, status, change, request):
    before = row(cluster)
    response = api(request.getfixturevalue(person)).patch(path(cluster), change)
    assert response.status_code == status
    assert row(cluster) == before
    assert woken == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"total_gpu": 1}, "GPUs: 2 allocated, so the total cannot be 1."),
        ({"total_cpu": 1}, "CPU cores: 1.5 allocated, so the total cannot be 1."),
        ({"total_ram": 99}, "MiB of RAM: 100 allocated, so the total cannot be 99."),
    ],
)
def test_a_total_cannot_fall_below_what_is_allocated(api, ada, org, woken, change, sentence):
    cluster = make_cluster(org, allocated_cpu_milli=1500, allocated_ram_mib=100, allocated_gpu=2)
    before = row(cluster)
    response = api(ada).patch(path(cluster), {**change, "name": "east"})
    assert response.status_code == 409
    assert response.json() == {"detail": sentence, "code": "below_allocated"}
    assert row(cluster) == before
    assert woken == []


def test_it_can_fall_to_what_is_allocated(api, ada, org):
    cluster = make_cluster(org, allocated_gpu=2)
    assert api(ada).patch(path(cluster), {"total_gpu": 2}).status_code == 200


@pytest.mark.parametrize("change", [{"total_gpu": 3}, {"total_cpu": 9, "name": "east"}])
def test_the_totals_of_a_cluster_with_nodes_are_theirs(api, ada, cluster, woken, change):
    make_node(cluster)
    woken.clear()
    before = row(cluster)
    response = api(ada).patch(path(cluster), change)
    assert response.status_code == 409
    assert response.json() == {
        "detail": "The totals are the sum of the cluster's nodes: change those instead.",
        "code": "has_nodes",
    }
    assert row(cluster) == before
    assert woken == []
    same = {"total_gpu": before["total_gpu"], "policy": {"ordering": "fifo"}}
    assert api(ada).patch(path(cluster), same).status_code == 200


def test_a_taken_name_is_refused(api, ada, cluster, org):
    make_cluster(org, name="east")
    response = api(ada).patch(path(cluster), {"name": "east"})
    assert response.status_code == 409
    assert response.json()["code"] == "name_taken"
    assert row(cluster)["name"] == "west"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total_gpu", -1),
        ("state", "ASLEEP"),
        ("runtime", "simulated"),
        ("organization_id", "x"),
        ("policy", {"queueing": None}),
        ("policy", {"placement": "BINPACK"}),
        ("name", None),
    ],
)
def test_bad_values_are_named(api, ada, cluster, field, value):
    before = row(cluster)
    response = api(ada).patch(path(cluster), {field: value})
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [field]
    assert row(cluster) == before


def test_operators_pause_resume_and_drain(cluster, woken):
    assert clusters.pause(cluster).state == State.PAUSED
    assert clusters.pause(cluster).state == State.PAUSED
    assert clusters.resume(cluster).state == State.ACTIVE
    assert clusters.drain(cluster).state == State.DRAINING
    assert woken == [cluster.pk] * 3


def test_a_change_of_state_leaves_who_when_and_why(api, ada, vera, cluster):
    change = {"state": "PAUSED", "state_reason": "power cut"}
    answer = api(ada).patch(path(cluster), change).json()
    cluster.refresh_from_db()
    at = cluster.changed_at.isoformat().replace("+00:00", "Z")
    expected = {"at": at, "by": "ada", "reason": "power cut"}
    assert answer["state_change"] == expected
    # the same state again, and other changes, leave it as it is
    api(ada).patch(path(cluster), {"state": "PAUSED", "state_reason": "again"})
    api(ada).patch(path(cluster), {"total_gpu": 8})
    assert api(vera).get(path(cluster)).json()["state_change"] == expected
    resumed = api(ada).patch(path(cluster), {"state": "ACTIVE"}).json()["state_change"]
    assert (resumed["by"], resumed["reason"]) == ("ada", None)


@pytest.mark.parametrize(
    "change", [{"state_reason": "power cut"}, {"state": "PAUSED", "state_reason": "x" * 201}]
)
def test_a_reason_needs_a_state_and_has_a_length(api, ada, cluster, change):
    response = api(ada).patch(path(cluster), change)
    assert (response.status_code, list(response.json()["fields"])) == (400, ["state_reason"])
    cluster.refresh_from_db()
    assert cluster.state == "ACTIVE"


def test_it_takes_few_queries(api, ada, cluster, django_assert_num_queries):
    # the caller, the cluster, the role; a savepoint, the lock, its nodes, the write, the release;
    # its closed nodes
    with django_assert_num_queries(11):  # the database's clock is one, the event another
        api(ada).patch(path(cluster), {"total_gpu": 8})
