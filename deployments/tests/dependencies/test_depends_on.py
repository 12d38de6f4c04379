"""`depends_on` of POST /api/deployments, and what the API shows of dependencies."""

from functools import partial
from uuid import uuid4

import pytest

from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, DeploymentEvent, Status
from deployments.reasons.reader import reasons_for
from deployments.tests.dependencies.cases import complete, ids, state, stop_it, submit
from deployments.tests.workloads import body, make

PATH = "/api/deployments"


def test_a_deployment_waits_for_its_dependencies(api, dev, cluster):
    first, second = (
        make(cluster, dev, name="one"),
        make(cluster, dev, Status.RUNNING, name="two"),
    )
    response = api(dev).post(PATH, body(cluster, depends_on=ids(second, first)))
    assert response.status_code == 201
    answer = response.json()
    assert (answer["status"], answer["depends_on"]) == ("QUEUED", ids(first, second))
    assert answer["reason"] == {
        "code": "WAITING_FOR_DEPENDENCIES",
        "message": "Waits for 2 deployments to complete: one of dev, two of dev.",
        "details": {
            "count": 2,
            "deployments": ids(first, second),
            "deployment_names": ["one of dev", "two of dev"],
        },
    }
    assert answer["depends_on_names"] == ["one of dev", "two of dev"]
    for path in (PATH, f"/api/clusters/{cluster.pk}/deployments", f"{PATH}/{answer['id']}"):
        found = api(dev).get(path).json()
        row = found[0] if isinstance(found, list) else found
        assert (row["reason"], row["depends_on"]) == (answer["reason"], answer["depends_on"])
    (waiting, _) = api(dev).get(f"/api/clusters/{cluster.pk}/queue").json()
    assert {waiting["reason"]["code"]} <= {"WAITING_FOR_DEPENDENCIES", "NOT_YET_EVALUATED"}
    assert state(Deployment.objects.get(pk=answer["id"])) == (Status.QUEUED, 2)


def test_a_completed_dependency_counts_as_done(api, dev, cluster):
    done, open_ = make(cluster, dev, Status.COMPLETED), make(cluster, dev, Status.STARTING)
    answer = api(dev).post(PATH, body(cluster, depends_on=ids(done))).json()
    assert (answer["reason"]["code"], answer["depends_on"]) == ("NOT_YET_EVALUATED", ids(done))
    answer = api(dev).post(PATH, body(cluster, depends_on=ids(done, open_))).json()
    names = {"deployment_names": ["train of dev"]}
    assert answer["reason"]["details"] == {"count": 1, "deployments": ids(open_), **names}


@pytest.mark.parametrize("status", [Status.FAILED, Status.STOPPED])
def test_a_submit_that_can_never_start_is_refused(api, dev, cluster, status):
    ended = make(cluster, dev, status)
    given = body(cluster, depends_on=ids(make(cluster, dev), ended))
    response = api(dev).post(PATH, given)
    assert response.status_code == 409
    assert response.json() == {
        "detail": f"It could never start: train of dev, on which it depends, is {status}.",
        "code": "dependency_failed",
    }
    assert Deployment.objects.count() == 2
    assert not DeploymentEvent.objects.exists()


@pytest.mark.parametrize(("person", "status"), [("ada", 201), ("vera", 403), ("sam", 404)])
def test_members_may_depend_on_deployments_of_others(api, dev, cluster, person, status, request):
    needed = make(cluster, dev)
    given = body(cluster, depends_on=ids(needed))
    assert api(request.getfixturevalue(person)).post(PATH, given).status_code == status
    assert Deployment.objects.count() == (2 if status == 201 else 1)


def test_a_foreign_dependency_is_refused_like_a_missing_one(api, dev, sam, cluster, org, sams_org):
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


def test_a_dependency_named_twice_counts_once(api, dev, cluster):
    key = str(make(cluster, dev).pk)
    for again in (key, key.upper(), key.replace("-", "")):
        response = api(dev).post(PATH, body(cluster, depends_on=[key, again]))
        assert response.status_code == 400
        assert response.json()["fields"] == {"depends_on": ["Each deployment at most once."]}
    assert api(dev).post(PATH, body(cluster, depends_on=[key.upper()])).status_code == 201


def test_a_submit_may_have_a_hundred_dependencies_and_no_more(api, dev, cluster):
    rows = [make(cluster, dev) for _ in range(101)]
    response = api(dev).post(PATH, body(cluster, depends_on=ids(*rows)))
    assert response.status_code == 400
    assert list(response.json()["fields"]) == ["depends_on"]
    answer = api(dev).post(PATH, body(cluster, depends_on=ids(*rows[:100]))).json()
    assert answer["depends_on"] == ids(*rows[:100])
    details = {
        "count": 100,
        "deployments": ids(*rows[:20]),
        "deployment_names": 20 * ["train of dev"],
    }
    assert answer["reason"]["details"] == details


def test_dependencies_cannot_change_after_the_submit(api, dev, cluster):
    row = submit(dev, cluster)
    others: list[list[str]] = [[], ids(make(cluster, dev)), ids(row)]
    for given in others:
        response = api(dev).patch(f"{PATH}/{row.pk}", {"depends_on": given})
        assert response.status_code == 400
        assert list(response.json()["fields"]) == ["depends_on"]
    assert state(row) == (Status.QUEUED, 0)


def test_a_repeated_submit_is_answered_whatever_its_dependencies_have_become(api, dev, cluster):
    first, second = make(cluster, dev), make(cluster, dev)
    post = partial(api(dev).post, PATH, headers={"Idempotency-Key": "run-1"})
    first_answer = post(body(cluster, depends_on=ids(first, second))).json()
    assert post(body(cluster, depends_on=ids(second, first))).json() == first_answer
    other = post(body(cluster, depends_on=ids(first)))
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    stop_it(first)
    again = post(body(cluster, depends_on=ids(first, second)))
    assert (again.status_code, again.json()["status"]) == (201, "FAILED")
    assert again.json()["id"] == first_answer["id"]


@pytest.mark.parametrize("size", [1, 50])
def test_a_submit_takes_few_queries(api, dev, cluster, size, django_assert_num_queries):
    needed = ids(*[make(cluster, dev) for _ in range(size)])
    api(dev).post(PATH, body(cluster))  # what is queued has been counted within ten seconds
    # the caller, the cluster, the role, the classes, the dependencies; in a savepoint the time,
    # two inserts, the lock, the dependencies as they are now, the links, the limits of the queue
    with django_assert_num_queries(15):
        assert api(dev).post(PATH, body(cluster, depends_on=needed)).status_code == 201


@pytest.mark.parametrize("size", [1, 8])
def test_a_page_takes_few_queries(api, dev, cluster, size, django_assert_num_queries):
    needed = [make(cluster, dev, gpu=0) for _ in range(size)]
    for _ in range(size):
        submit(dev, cluster, *needed)
    make(cluster, dev)
    # the caller, the planner's setting, the page, the dependencies, the classes, the reasons, the
    # derived reasons, the owners, the clusters
    with django_assert_num_queries(9):
        api(dev).get(PATH)
    # user, cluster, membership, rows, dependencies, reasons, derived reasons,
    # classes, owners
    with django_assert_num_queries(9):
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


def test_a_dependency_that_completes_between_two_reads_is_no_reason_to_wait(dev, cluster):
    needed = make(cluster, dev, gpu=0)
    row = submit(dev, cluster, needed)
    read = Deployment.objects.select_related("priority_class").get(pk=row.pk)
    complete(needed)
    reason = reasons_for([read])[row.pk]
    assert reason is not None
    assert reason["code"] == "NOT_YET_EVALUATED"
