"""The ends of dependencies, and what they do to the deployments that depend on them."""

import pytest

from clusters.services.deletion import delete_cluster
from deployments.models import Deployment, DeploymentEvent, Status
from deployments.services.stop import stop, stop_one
from deployments.tests.dependencies.cases import (
    blamed,
    complete,
    ids,
    overstay,
    state,
    stop_it,
    stop_it_running,
    submit,
)
from deployments.tests.workloads import allocated, make, timeline

PATH = "/api/deployments"
FAILURES = [overstay, stop_it, stop_it_running]


# --- Completing --------------------------------------------------------------------------------


def test_the_last_dependency_to_complete_lets_the_deployment_start(dev, cluster, stop_signals):
    first, second = make(cluster, dev, gpu=0), make(cluster, dev, gpu=0)
    row = submit(dev, cluster, first, second)
    complete(first)
    assert state(row) == (Status.QUEUED, 1)
    complete(second)
    assert state(row) == (Status.QUEUED, 0)
    assert timeline(row) == [("SUBMITTED", "dev")]
    assert stop_signals == [(cluster.pk, {each.pk}, "FINISHED") for each in (first, second)]


def test_two_dependencies_that_complete_at_once_count_as_two(dev, cluster):
    needed = [make(cluster, dev, gpu=0) for _ in range(3)]
    row = submit(dev, cluster, *needed)
    complete(*needed[:2])
    assert state(row) == (Status.QUEUED, 1)


def test_a_wrong_counter_is_corrected(dev, cluster):
    first, second = make(cluster, dev, gpu=0), make(cluster, dev, gpu=0)
    row = submit(dev, cluster, first, second)
    Deployment.objects.filter(pk=row.pk).update(pending_dependencies=7)
    complete(first)
    assert state(row) == (Status.QUEUED, 1)


def test_the_counter_of_an_ended_deployment_stays_right(dev, cluster):
    needed = make(cluster, dev, gpu=0)
    row = submit(dev, cluster, needed)
    stop_it(row)
    assert state(row) == (Status.STOPPED, 1)
    complete(needed)
    assert state(row) == (Status.STOPPED, 0)


# --- Failing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fail", FAILURES)
def test_dependents_of_a_failed_deployment_fail_with_it(dev, cluster, stop_signals, fail):
    needed, other = make(cluster, dev, gpu=0), make(cluster, dev, gpu=0)
    row, free = submit(dev, cluster, needed, other), submit(dev, cluster, other)
    last = submit(dev, cluster, row)
    fail(needed)
    assert blamed(row) == blamed(last) == str(needed.pk)
    assert state(free) == (Status.QUEUED, 1)
    assert allocated(cluster) == (0, 0, 0)
    assert (cluster.pk, {row.pk, last.pk}, "STOPPED") in stop_signals
    assert len(stop_signals) == 2
    for each in (row, last):
        assert timeline(each) == [("SUBMITTED", "dev"), ("FAILED", None)]
        event = DeploymentEvent.objects.get(deployment=each, type="FAILED")
        called = {"by": str(needed.pk), "by_name": "train", "by_owner": "dev"}
        assert event.details == {"code": "DEPENDENCY_FAILED", **called}


def test_a_failed_dependent_says_why(api, dev, cluster):
    needed = make(cluster, dev)
    row = submit(dev, cluster, needed)
    answer = api(dev).post(f"{PATH}/{needed.pk}/stop").json()
    assert (answer["status"], answer["reason"]) == ("STOPPED", None)
    answer = api(dev).get(f"{PATH}/{row.pk}").json()
    assert (answer["status"], answer["queue_position"]) == ("FAILED", None)
    assert answer["reason"] == {
        "code": "DEPENDENCY_FAILED",
        "message": "Depends on train of dev, which did not complete, so it cannot start.",
        "details": {"by": str(needed.pk), "by_name": "train", "by_owner": "dev"},
    }


def test_the_nearest_failed_dependency_is_named(dev, cluster):
    """far <- near <- row, and far and near end at once: row names near, near ended by itself."""
    far = make(cluster, dev, gpu=0)
    near = submit(dev, cluster, far)
    row, other = submit(dev, cluster, near), submit(dev, cluster, far)
    assert stop(ids(far, near), dev) == 2
    assert blamed(row) == str(near.pk)
    assert blamed(other) == str(far.pk)


def test_a_dependent_that_was_stopped_before_stays_stopped(dev, cluster):
    needed = make(cluster, dev)
    row = submit(dev, cluster, needed)
    stop_it(row)
    stop_it(needed)
    assert state(row) == (Status.STOPPED, 1)
    assert timeline(row) == [("SUBMITTED", "dev"), ("STOPPED", "dev")]


def test_a_stop_of_a_whole_tree_in_batches_stops_each_deployment(dev, cluster):
    """No deployment fails because of a dependency that is stopped with it."""
    rows = [submit(dev, cluster)]
    for _ in range(4):
        rows.append(submit(dev, cluster, rows[-1]))
    assert stop(ids(*rows), dev, batch=2) == 5
    assert {state(row)[0] for row in rows} == {Status.STOPPED}


@pytest.mark.parametrize("size", [1, 30])
@pytest.mark.parametrize("shape", ["chain", "fan"])
def test_a_whole_tree_fails_in_few_queries(dev, cluster, shape, size, django_assert_num_queries):
    root = make(cluster, dev)
    rows = [root]
    for _ in range(size):
        rows.append(submit(dev, cluster, rows[-1] if shape == "chain" else root))
    # in a savepoint the write and the dependents, all undone; in another the lock, the row, the
    # write, its interval, all dependents, their write, intervals and events, its own event
    with django_assert_num_queries(16):
        stop_one(root, dev)
    assert {blamed(row) for row in rows[1:]} == {str(root.pk)}


def test_a_deployment_without_queued_dependents_takes_the_short_cut(
    dev, cluster, django_assert_num_queries
):
    needed = make(cluster, dev)
    stop_it(submit(dev, cluster, needed))
    with django_assert_num_queries(6):  # in a savepoint: write, dependents, interval, event
        stop_one(needed, dev)


def test_a_preempted_dependency_only_delays_its_dependents(dev, cluster):
    """The dependency is QUEUED again, and its dependents go on waiting."""
    needed = make(cluster, dev, gpu=0, reason_code="PREEMPTED", preemption_count=1)
    row = submit(dev, cluster, needed)
    assert state(row) == (Status.QUEUED, 1)
    complete(needed)
    assert state(row) == (Status.QUEUED, 0)


def test_a_cluster_is_deleted_with_all_its_dependencies(dev, cluster):
    rows = [submit(dev, cluster)]
    rows += [submit(dev, cluster, *rows) for _ in range(3)]
    delete_cluster(cluster, force=True)
    assert not Deployment.objects.exists()
    assert not Deployment.depends_on.through.objects.exists()


# --- The operators' page -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5])
def test_the_operators_page_shows_dependencies(
    admin_client, dev, cluster, size, django_assert_num_queries
):
    needed = [make(cluster, dev, name=f"needed-{n}") for n in range(size)]
    row = submit(dev, cluster, *needed)
    path = f"/admin/deployments/deployment/{row.pk}/change/"
    admin_client.get(path)  # looks the content type up, once in a process
    # session, operator, the row, its dependencies for the reason, classes, the same for people,
    # timeline
    with django_assert_num_queries(7):
        text = admin_client.get(path).content.decode()
    for each in needed:
        assert f'/{each.pk}/change/">{each.name}</a>' in text
    assert "WAITING_FOR_DEPENDENCIES" in text
