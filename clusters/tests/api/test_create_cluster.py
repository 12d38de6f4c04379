"""POST /api/clusters"""

from decimal import Decimal
from functools import partial

import pytest

from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from organizations.tests.people import all_at_once

PATH = "/api/clusters"
SIZE = {"total_cpu": 8.5, "total_ram": 16384, "total_gpu": 4}
DEFAULT_POLICY = {
    "queueing": "best_effort",
    "ordering": "gpu_weighted",
    "preemption": "lower_priority",
    "placement": "binpack",
    "preempt_exempt_s": 0,
    "reserve_after_s": 3600,
    "max_preemptions": 5,
    "preemption_within_quota": "never",
    "class_cost_ratio": 0,
    "preemption_delay_s": 0,
    "low_share_percent": 0,
    "assumed_runtime_s": 14400,
    "fail_impossible_after_s": None,
    "prepull": "off",
}


def body(org, **fields):
    return {"name": "west", "organization_id": str(org.pk), **SIZE, **fields}


def test_an_admin_creates_a_cluster(api, ada, org):
    response = api(ada).post(PATH, body(org))
    assert response.status_code == 201
    cluster = Cluster.objects.get()
    answer = response.json()
    assert answer.pop("created_at").endswith("Z")
    assert answer == {
        "id": str(cluster.pk),
        "name": "west",
        "organization_id": str(org.pk),
        "organization": org.name,
        "state": "ACTIVE",
        "state_change": None,
        "runtime": "simulated",
        **SIZE,
        "allocated_cpu": 0,
        "allocated_ram": 0,
        "allocated_gpu": 0,
        "available_cpu": 8.5,
        "available_ram": 16384,
        "available_gpu": 4,
        "closed_cpu": 0,
        "closed_ram": 0,
        "closed_gpu": 0,
        "policy": DEFAULT_POLICY,
        "node_lost_after_s": 300,
        "endpoint": None,
    }
    assert cluster.total_cpu_milli == 8500


def test_its_policy_can_be_chosen(api, ada, org):
    policy = {"queueing": "easy_backfill", "ordering": "fifo", "placement": "spread"}
    response = api(ada).post(PATH, body(org, policy=policy, runtime="simulated"))
    assert response.status_code == 201
    assert response.json()["policy"] == {**DEFAULT_POLICY, **policy}


def test_a_cluster_may_have_no_gpus(api, ada, org):
    assert api(ada).post(PATH, body(org, total_gpu=0)).status_code == 201


def test_it_takes_few_queries(api, ada, org, django_assert_num_queries):
    # the caller, their role; the organization, the number of its clusters and the row between a
    # savepoint and its release; its closed nodes
    with django_assert_num_queries(9):  # one writes the event
        assert api(ada).post(PATH, body(org)).status_code == 201


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
def test_others_may_not(api, org, person, status, request):
    response = api(request.getfixturevalue(person)).post(PATH, body(org))
    assert response.status_code == status
    assert not Cluster.objects.exists()


def test_a_call_without_a_token_is_401(anyone, org):
    assert anyone.post(PATH, body(org)).status_code == 401
    assert not Cluster.objects.exists()


@pytest.mark.parametrize("organization", ["nonsense", 7, "0199d1c3-02b4-7d10-8c55-0c6f1b7a9d42"])
def test_an_organization_that_is_not_there(api, ada, org, organization):
    assert api(ada).post(PATH, body(org, organization_id=organization)).status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 101),
        ("name", 7),
        ("total_cpu", 0),
        ("total_cpu", -1),
        ("total_cpu", "eight"),
        ("total_cpu", 0.0001),
        ("total_cpu", True),
        ("total_cpu", 10_000_001),
        ("total_ram", 0),
        ("total_ram", 1.5),
        ("total_ram", "16384"),
        ("total_ram", 10_000_000_001),
        ("total_gpu", -1),
        ("total_gpu", 1.0),
        ("total_gpu", 10_000_001),
        ("total_gpu", 10**40),
        ("runtime", "mesos"),
        ("kubeconfig", "apiVersion: v1"),
        ("namespace", "ml"),
        ("node_lost_after_s", 9),
        ("node_lost_after_s", 86_401),
        ("policy", "strict"),
        ("policy", {"queueing": "whatever"}),
        ("policy", {"preempt_exempt_s": -1}),
        ("policy", {"max_preemptions": 10**12}),
        ("policy", {"preemption_within_quota": True}),
        ("policy", {"class_cost_ratio": -1}),
        ("policy", {"class_cost_ratio": 1001}),
        ("policy", {"class_cost_ratio": 1.5}),
        ("policy", {"preemption_delay_s": -1}),
        ("policy", {"preemption_delay_s": 1e10}),
        ("policy", {"low_share_percent": -1}),
        ("policy", {"low_share_percent": 101}),
        ("policy", {"assumed_runtime_s": -1}),
        ("policy", {"prepull": "always"}),
        ("policy", {"unknown": 1}),
        ("state", "PAUSED"),
        ("nodes", []),
    ],
)
def test_bad_values_are_named(api, ada, org, field, value):
    response = api(ada).post(PATH, body(org, **{field: value}))
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [field]
    assert not Cluster.objects.exists()


@pytest.mark.parametrize("field", ["name", "organization_id", *SIZE])
def test_each_of_these_is_needed(api, ada, org, field):
    given = body(org)
    del given[field]
    response = api(ada).post(PATH, given)
    assert response.status_code == 400
    assert list(response.json()["fields"]) == [field]


def test_a_cluster_that_will_have_nodes_needs_no_totals(api, ada, org):
    given = {name: value for name, value in body(org).items() if name not in SIZE}
    made = api(ada).post(PATH, given)
    assert made.status_code == 201
    assert [made.json()[name] for name in SIZE] == [0, 0, 0]
    node = {"name": "n", "cpu": 4, "ram": 8192, "gpu": 1}
    assert api(ada).post(f"{PATH}/{made.json()['id']}/nodes", node).status_code == 201
    assert (Cluster.objects.get().total_cpu_milli, Cluster.objects.get().total_gpu) == (4000, 1)


def test_a_pool_takes_its_totals_later(api, ada, org):
    given = {name: value for name, value in body(org).items() if name not in SIZE}
    made = api(ada).post(PATH, given).json()
    assert api(ada).patch(f"{PATH}/{made['id']}", SIZE).status_code == 200
    assert Cluster.objects.get().total_gpu == SIZE["total_gpu"]


def test_thousandths_of_a_core_are_exact(api, ada, org):
    api(ada).post(PATH, body(org, total_cpu=0.001))
    assert Cluster.objects.get().total_cpu_milli == Decimal("0.001") * 1000


def test_a_name_is_taken_once_in_an_organization(api, ada, org, sam, sams_org):
    make_cluster(org, name="west")
    response = api(ada).post(PATH, body(org))
    assert response.status_code == 409
    assert response.json()["code"] == "name_taken"
    assert Cluster.objects.count() == 1
    assert api(sam).post(PATH, body(sams_org)).status_code == 201


def test_of_clusters_added_at_once_with_one_name_one_is_added(transactional_db, api, ada, org):
    calls = [partial(api(ada).post, PATH, body(org)) for _ in range(4)]
    assert sorted(answer.status_code for answer in all_at_once(*calls)) == [201, 409, 409, 409]


def test_an_organization_has_no_more_clusters_than_allowed(
    transactional_db, api, ada, org, sam, sams_org, settings
):
    settings.MAX_CLUSTERS_PER_ORGANIZATION = 2
    calls = [partial(api(ada).post, PATH, body(org, name=f"c{n}")) for n in range(4)]
    answers = all_at_once(*calls)
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409]
    assert {answer.json().get("code") for answer in answers if answer.status_code == 409} == {
        "full"
    }
    assert Cluster.objects.filter(organization=org).count() == 2
    assert api(sam).post(PATH, body(sams_org)).status_code == 201
