"""`depends_on` of POST /api/deployments, and what the ends of those named do to it"""

from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from django.utils import timezone

from clusters.services.clusters import delete_cluster
from clusters.tests.allocation import make_cluster
from deployments import queries
from deployments.lifecycle import deadlines
from deployments.models import Deployment, DeploymentEvent, Status
from deployments.services.stop import stop, stop_one
from deployments.services.submit import create_deployment
from deployments.signals import deployment_stopped
from deployments.tests.workloads import allocated, body, make, timeline

PATH = "/api/deployments"
SPEC = {"image": "train:1.2", "cpu_milli": 1000, "ram_mib": 512, "gpu": 0}


def ids(*deployments):
    return [str(deployment.pk) for deployment in deployments]


def submit(user, cluster, *needed, **columns):
    """One that depends on the others, as a row."""
    spec = {**SPEC, **columns, "depends_on": ids(*needed)}
    return create_deployment(user, cluster.pk, spec).deployment


def state(deployment):
    row = Deployment.objects.get(pk=deployment.pk)
    return row.status, row.pending_dependencies


def blamed(deployment):
    row = Deployment.objects.get(pk=deployment.pk)
    assert (row.status, row.reason_code) == (Status.FAILED, "DEPENDENCY_FAILED")
    assert row.finished_at is not None
    return row.reason_details["by"]


def run(*deployments, **columns):
    """As if a cycle had started them; due now unless told otherwise."""
    place = [{"node_id": None, "node": None, "replicas": 1}]
    now = timezone.now()
    given = {"started_at": now - timedelta(hours=1), "due_at": now, "placement": place, **columns}
    for row in deployments:
        cluster = row.cluster
        Deployment.objects.filter(pk=row.pk).update(status=Status.RUNNING, **given)
        cluster.refresh_from_db()
        cluster.allocated_cpu_milli += row.cpu_milli
        cluster.allocated_ram_mib += row.ram_mib
        cluster.save()


def complete(*deployments):
    run(*deployments)
    assert deadlines.finish_due(timezone.now()) == len(deployments)


def overstay(deployment):
    run(deployment, max_runtime_s=60)
    assert deadlines.finish_due(timezone.now()) == 1


def stop_it(deployment):
    assert stop_one(Deployment.objects.get(pk=deployment.pk), deployment.owner)


def stop_it_running(deployment):
    run(deployment)
    stop_it(deployment)


FAILURES = [overstay, stop_it, stop_it_running]


@pytest.fixture
def woken():
    """What the scheduler was told."""
    heard = []

    def hear(cluster_id, deployment_ids, trigger, **_):
        heard.append((cluster_id, set(deployment_ids), trigger))

    deployment_stopped.connect(hear)
    yield heard
    deployment_stopped.disconnect(hear)


# --- Submitting --------------------------------------------------------------------------------


def test_it_waits_for_what_it_names(api, dev, cluster):
    first, second = make(cluster, dev), make(cluster, dev, Status.RUNNING)
    response = api(dev).post(PATH, body(cluster, depends_on=ids(second, first)))
    assert response.status_code == 201
    answer = response.json()
    assert (answer["status"], answer["depends_on"]) == ("QUEUED", ids(first, second))
    assert answer["reason"] == {
        "code": "WAITING_FOR_DEPENDENCIES",
        "message": f"Waits for 2 deployments to complete: {first.pk}, {second.pk}.",
        "details": {"count": 2, "deployments": ids(first, second)},
    }
    for path in (PATH, f"/api/clusters/{cluster.pk}/deployments", f"{PATH}/{answer['id']}"):
        found = api(dev).get(path).json()
        row = found[0] if isinstance(found, list) else found
        assert (row["reason"], row["depends_on"]) == (answer["reason"], answer["depends_on"])
    (waiting, _) = api(dev).get(f"/api/clusters/{cluster.pk}/queue").json()
    assert {waiting["reason"]["code"]} <= {"WAITING_FOR_DEPENDENCIES", "NOT_YET_EVALUATED"}
    assert state(Deployment.objects.get(pk=answer["id"])) == (Status.QUEUED, 2)


def test_what_has_completed_counts_as_done(api, dev, cluster):
    done, open_ = make(cluster, dev, Status.COMPLETED), make(cluster, dev, Status.STARTING)
    answer = api(dev).post(PATH, body(cluster, depends_on=ids(done))).json()
    assert (answer["reason"]["code"], answer["depends_on"]) == ("NOT_YET_EVALUATED", ids(done))
    answer = api(dev).post(PATH, body(cluster, depends_on=ids(done, open_))).json()
    assert answer["reason"]["details"] == {"count": 1, "deployments": ids(open_)}


@pytest.mark.parametrize("status", [Status.FAILED, Status.STOPPED])
def test_what_can_never_start_is_refused(api, dev, cluster, status):
    ended = make(cluster, dev, status)
    given = body(cluster, depends_on=ids(make(cluster, dev), ended))
    response = api(dev).post(PATH, given)
    assert response.status_code == 409
    assert response.json() == {
        "detail": f"It could never start: {ended.pk}, on which it depends, is {status}.",
        "code": "dependency_failed",
    }
    assert Deployment.objects.count() == 2
    assert not DeploymentEvent.objects.exists()


@pytest.mark.parametrize(("who", "status"), [("ada", 201), ("vera", 403), ("sam", 404)])
def test_who_may(api, dev, cluster, who, status, request):
    """A teammate may wait for what somebody else has submitted."""
    needed = make(cluster, dev)
    given = body(cluster, depends_on=ids(needed))
    assert api(request.getfixturevalue(who)).post(PATH, given).status_code == status
    assert Deployment.objects.count() == (2 if status == 201 else 1)


def test_others_and_nobodys_are_told_alike(api, dev, sam, cluster, org, sams_org):
    sams = make(make_cluster(sams_org), sam)
    elsewhere = make(make_cluster(org, name="east"), dev)
    here = make(cluster, dev)
    for other in (str(sams.pk), str(elsewhere.pk), str(uuid4()), "7", "nonsense"):
        response = api(dev).post(PATH, body(cluster, depends_on=[str(here.pk), other]))
        assert response.status_code == 400
        assert response.json()["fields"] == {
            "depends_on": [f"No deployments of this cluster: {other}."]
        }
    many = sorted(str(uuid4()) for _ in range(5))
    (sentence,) = api(dev).post(PATH, body(cluster, depends_on=many)).json()["fields"]["depends_on"]
    assert sentence == f"No deployments of this cluster: {', '.join(many[:3])} and 2 more."
    assert Deployment.objects.count() == 3


def test_each_is_named_once_however_it_is_written(api, dev, cluster):
    key = str(make(cluster, dev).pk)
    for again in (key, key.upper(), key.replace("-", "")):
        response = api(dev).post(PATH, body(cluster, depends_on=[key, again]))
        assert response.status_code == 400
        assert response.json()["fields"] == {"depends_on": ["Each deployment at most once."]}
    assert api(dev).post(PATH, body(cluster, depends_on=[key.upper()])).status_code == 201


def test_a_hundred_and_no_more(api, dev, cluster):
    rows = [make(cluster, dev) for _ in range(101)]
    response = api(dev).post(PATH, body(cluster, depends_on=ids(*rows)))
    assert response.status_code == 400
    assert list(response.json()["fields"]) == ["depends_on"]
    answer = api(dev).post(PATH, body(cluster, depends_on=ids(*rows[:100]))).json()
    assert answer["depends_on"] == ids(*rows[:100])
    assert answer["reason"]["details"] == {"count": 100, "deployments": ids(*rows[:20])}


def test_it_is_settled_with_the_submit(api, dev, cluster):
    row = submit(dev, cluster)
    others: list[list[str]] = [[], ids(make(cluster, dev)), ids(row)]
    for given in others:
        response = api(dev).patch(f"{PATH}/{row.pk}", {"depends_on": given})
        assert response.status_code == 400
        assert list(response.json()["fields"]) == ["depends_on"]
    assert state(row) == (Status.QUEUED, 0)


def test_a_repeated_submit_is_answered_whatever_became_of_them(api, dev, cluster):
    first, second = make(cluster, dev), make(cluster, dev)
    post = partial(api(dev).post, PATH, headers={"Idempotency-Key": "run-1"})
    told = post(body(cluster, depends_on=ids(first, second))).json()
    assert post(body(cluster, depends_on=ids(second, first))).json() == told
    other = post(body(cluster, depends_on=ids(first)))
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    stop_it(first)
    again = post(body(cluster, depends_on=ids(first, second)))
    assert (again.status_code, again.json()["status"]) == (201, "FAILED")
    assert again.json()["id"] == told["id"]


@pytest.mark.parametrize("size", [1, 50])
def test_a_submit_takes_few_queries(api, dev, cluster, size, django_assert_num_queries):
    needed = ids(*[make(cluster, dev) for _ in range(size)])
    # the caller, the cluster, their role, the classes, what it names; in a savepoint two inserts,
    # the lock, what it names as it is now, its links
    with django_assert_num_queries(12):
        assert api(dev).post(PATH, body(cluster, depends_on=needed)).status_code == 201


@pytest.mark.parametrize("size", [1, 8])
def test_a_page_takes_few_queries(api, dev, cluster, size, django_assert_num_queries):
    needed = [make(cluster, dev, gpu=0) for _ in range(size)]
    for _ in range(size):
        submit(dev, cluster, *needed)
    make(cluster, dev)
    # the caller, the page, what they depend on, the classes, the reasons, who has been looked at
    with django_assert_num_queries(6):
        api(dev).get(PATH)
    # user, cluster, membership, rows, what the waiting depend on, reasons, who has been looked at,
    # classes
    with django_assert_num_queries(8):
        api(dev).get(f"/api/clusters/{cluster.pk}/queue")


def test_priority_and_request_can_change_meanwhile(api, dev, cluster):
    needed = make(cluster, dev)
    row = submit(dev, cluster, needed)
    given = {"priority": "HIGH", "required_gpu": 2, "name": "later"}
    answer = api(dev).patch(f"{PATH}/{row.pk}", given).json()
    assert {name: answer[name] for name in given} == given
    assert answer["reason"]["code"] == "WAITING_FOR_DEPENDENCIES"
    row.refresh_from_db()
    assert (row.scheduling_key, row.pending_dependencies) == ("HIGH/1000/512/2x1", 1)


def test_one_that_completes_between_two_reads_waits_no_more(dev, cluster):
    needed = make(cluster, dev, gpu=0)
    row = submit(dev, cluster, needed)
    read = Deployment.objects.select_related("priority_class").get(pk=row.pk)
    complete(needed)
    reason = queries.reasons_for([read])[row.pk]
    assert reason is not None
    assert reason["code"] == "NOT_YET_EVALUATED"


# --- Completing --------------------------------------------------------------------------------


def test_the_last_to_complete_lets_it_go(dev, cluster, woken):
    first, second = make(cluster, dev, gpu=0), make(cluster, dev, gpu=0)
    row = submit(dev, cluster, first, second)
    complete(first)
    assert state(row) == (Status.QUEUED, 1)
    complete(second)
    assert state(row) == (Status.QUEUED, 0)
    assert timeline(row) == [("SUBMITTED", "dev")]
    assert woken == [(cluster.pk, {each.pk}, "FINISHED") for each in (first, second)]


def test_both_at_once_count_as_two(dev, cluster):
    needed = [make(cluster, dev, gpu=0) for _ in range(3)]
    row = submit(dev, cluster, *needed)
    complete(*needed[:2])
    assert state(row) == (Status.QUEUED, 1)


def test_a_counter_that_was_off_is_put_right(dev, cluster):
    first, second = make(cluster, dev, gpu=0), make(cluster, dev, gpu=0)
    row = submit(dev, cluster, first, second)
    Deployment.objects.filter(pk=row.pk).update(pending_dependencies=7)
    complete(first)
    assert state(row) == (Status.QUEUED, 1)


def test_an_ended_ones_counter_stays_true(dev, cluster):
    needed = make(cluster, dev, gpu=0)
    row = submit(dev, cluster, needed)
    stop_it(row)
    assert state(row) == (Status.STOPPED, 1)
    complete(needed)
    assert state(row) == (Status.STOPPED, 0)


# --- Failing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fail", FAILURES)
def test_who_depends_on_what_fails_fails_with_it(dev, cluster, woken, fail):
    needed, other = make(cluster, dev, gpu=0), make(cluster, dev, gpu=0)
    row, free = submit(dev, cluster, needed, other), submit(dev, cluster, other)
    last = submit(dev, cluster, row)
    fail(needed)
    assert blamed(row) == blamed(last) == str(needed.pk)
    assert state(free) == (Status.QUEUED, 1)
    assert allocated(cluster) == (0, 0, 0)
    assert (cluster.pk, {row.pk, last.pk}, "STOPPED") in woken
    assert len(woken) == 2
    for each in (row, last):
        assert timeline(each) == [("SUBMITTED", "dev"), ("FAILED", None)]
        event = DeploymentEvent.objects.get(deployment=each, type="FAILED")
        assert event.details == {"code": "DEPENDENCY_FAILED", "by": str(needed.pk)}


def test_its_owner_is_told_why(api, dev, cluster):
    needed = make(cluster, dev)
    row = submit(dev, cluster, needed)
    answer = api(dev).post(f"{PATH}/{needed.pk}/stop").json()
    assert (answer["status"], answer["reason"]) == ("STOPPED", None)
    answer = api(dev).get(f"{PATH}/{row.pk}").json()
    assert (answer["status"], answer["queue_position"]) == ("FAILED", None)
    assert answer["reason"] == {
        "code": "DEPENDENCY_FAILED",
        "message": f"Depends on {needed.pk}, which did not complete, so it cannot start.",
        "details": {"by": str(needed.pk)},
    }


def test_the_nearest_of_several_is_blamed(dev, cluster):
    """far <- near <- row, and far and near end at once: row names near, near ended by itself."""
    far = make(cluster, dev, gpu=0)
    near = submit(dev, cluster, far)
    row, other = submit(dev, cluster, near), submit(dev, cluster, far)
    assert stop(ids(far, near), dev) == 2
    assert blamed(row) == str(near.pk)
    assert blamed(other) == str(far.pk)


def test_one_that_was_stopped_before_stays_stopped(dev, cluster):
    needed = make(cluster, dev)
    row = submit(dev, cluster, needed)
    stop_it(row)
    stop_it(needed)
    assert state(row) == (Status.STOPPED, 1)
    assert timeline(row) == [("SUBMITTED", "dev"), ("STOPPED", "dev")]


def test_stopping_a_whole_tree_stops_each(dev, cluster, monkeypatch):
    """Also where it takes several batches: nobody fails for want of what is stopped with it."""
    monkeypatch.setattr("deployments.services.stop.BATCH", 2)
    rows = [submit(dev, cluster)]
    for _ in range(4):
        rows.append(submit(dev, cluster, rows[-1]))
    assert stop(ids(*rows), dev) == 5
    assert {state(row)[0] for row in rows} == {Status.STOPPED}


@pytest.mark.parametrize("size", [1, 30])
@pytest.mark.parametrize("shape", ["chain", "fan"])
def test_a_whole_tree_fails_in_few_queries(dev, cluster, shape, size, django_assert_num_queries):
    root = make(cluster, dev)
    rows = [root]
    for _ in range(size):
        rows.append(submit(dev, cluster, rows[-1] if shape == "chain" else root))
    # in a savepoint the write and who depends on it, all undone; in another the lock, the row, the
    # write, all that depend on it, their write and their events, its own event
    with django_assert_num_queries(14):
        stop_one(root, dev)
    assert {blamed(row) for row in rows[1:]} == {str(root.pk)}


def test_one_that_nobody_waits_for_any_more_takes_the_short_cut(
    dev, cluster, django_assert_num_queries
):
    needed = make(cluster, dev)
    stop_it(submit(dev, cluster, needed))
    with django_assert_num_queries(5):  # in a savepoint the write, who depends on it, the event
        stop_one(needed, dev)


def test_a_preempted_one_is_only_late(dev, cluster):
    """Evicted, it is QUEUED as before: whoever waits for it goes on waiting."""
    needed = make(cluster, dev, gpu=0, reason_code="PREEMPTED", preemption_count=1)
    row = submit(dev, cluster, needed)
    assert state(row) == (Status.QUEUED, 1)
    complete(needed)
    assert state(row) == (Status.QUEUED, 0)


def test_a_cluster_goes_with_all_that_depends_on_another(dev, cluster):
    rows = [submit(dev, cluster)]
    rows += [submit(dev, cluster, *rows) for _ in range(3)]
    delete_cluster(cluster, force=True)
    assert not Deployment.objects.exists()
    assert not Deployment.depends_on.through.objects.exists()


# --- The operators' page -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5])
def test_the_operators_page_shows_them(admin_client, dev, cluster, size, django_assert_num_queries):
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
