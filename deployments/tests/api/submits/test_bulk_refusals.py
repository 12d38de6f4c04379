"""What POST /api/deployments/bulk refuses: all of it, and nothing has changed then."""

from typing import Any
from uuid import uuid4

import pytest

from clusters.models import State
from clusters.tests.allocation import make_cluster
from deployments.api.serializers import BulkSerializer
from deployments.models import Deployment, DeploymentEvent, Status
from deployments.tests.api.submits.test_bulk import PATH, submit
from deployments.tests.workloads import body, make
from mlops_platform.tests.equipment.world import fingerprint
from organizations.models import Role


def items(shown) -> dict[str, Any]:
    """The errors of each item at fault."""
    fields = shown.json()["fields"]
    assert list(fields) == ["deployments"]
    found: dict[str, Any] = fields["deployments"]
    return found


@pytest.mark.parametrize(("person", "status"), [("ada", 201), ("vera", 403), ("sam", 404)])
def test_each_role_gets_its_answer(api, cluster, person, status, request):
    client = api(request.getfixturevalue(person))
    before = fingerprint()
    response = submit(client, body(cluster), body(cluster))
    assert response.status_code == status
    assert Deployment.objects.count() == DeploymentEvent.objects.count() == 2 * (status == 201)
    assert (fingerprint() == before) == (status != 201)


def test_nobody_without_a_token(anyone, cluster):
    assert submit(anyone, body(cluster)).status_code == 401
    assert not Deployment.objects.exists()


def test_one_cluster_that_is_not_yours_refuses_all(api, dev, cluster, sams_org):
    theirs, nowhere = make_cluster(sams_org), str(uuid4())
    before = fingerprint()
    answers = [
        submit(api(dev), body(cluster), body(cluster, cluster_id=str(id_)), body(cluster))
        for id_ in (theirs.pk, nowhere, "nonsense", 7)
    ]
    sentence = "There is nothing here, or it is not yours to see."
    for answer in answers:
        assert answer.status_code == 404
        assert answer.json() == {
            "detail": sentence,
            "code": "not_found",
            "fields": {"deployments": {"1": {"cluster_id": [sentence]}}},
        }
    assert fingerprint() == before


def test_a_role_that_is_too_low_in_one_of_them(api, dev, cluster, sams_org):
    sams_org.memberships.create(user=dev, role=Role.VIEWER)
    theirs = make_cluster(sams_org)
    before = fingerprint()
    response = submit(api(dev), body(cluster), body(theirs), body(theirs))
    sentence = "This needs the role DEVELOPER; yours is VIEWER."
    assert response.status_code == 403
    assert response.json() == {
        "detail": sentence,
        "code": "permission_denied",
        "fields": {"deployments": {n: {"cluster_id": [sentence]} for n in ("1", "2")}},
    }
    assert fingerprint() == before


def test_a_cluster_that_is_being_deleted(api, dev, org, cluster):
    closing = make_cluster(org, name="closing", state=State.DELETING)
    before = fingerprint()
    response = submit(api(dev), body(cluster), body(closing))
    assert response.status_code == 409
    assert list(items(response)) == ["1"]
    assert fingerprint() == before


def test_every_item_at_fault_is_told_at_once(api, dev, cluster):
    before = fingerprint()
    response = submit(
        api(dev),
        body(cluster),
        body(cluster, required_gpu=-1, image=None),
        body(cluster, quote="x"),
        "x",
    )
    assert response.status_code == 400
    shown = items(response)
    assert {number: set(found) for number, found in shown.items()} == {
        "1": {"required_gpu", "image"},
        "2": {"quote"},
        "3": {"non_field_errors"},
    }
    assert fingerprint() == before


def test_so_is_what_only_their_clusters_can_tell(api, dev, cluster):
    before = fingerprint()
    response = submit(
        api(dev),
        body(cluster, priority="medium"),
        body(cluster),
        body(cluster, node_selector={"zone": "b"}),
        body(cluster, depends_on=["x"]),
    )
    assert response.status_code == 400
    shown = items(response)
    assert {number: list(found) for number, found in shown.items()} == {
        "0": ["priority"],
        "2": ["node_selector"],
        "3": ["depends_on"],
    }
    assert shown["0"] == {"priority": ["One of HIGH, LOW."]}
    assert fingerprint() == before


@pytest.mark.parametrize("given", [None, [], {}, "x", 7, {"0": {}}, [[]], [None]])
def test_what_is_no_list_of_submits(api, dev, cluster, given):
    before = fingerprint()
    response = api(dev).post(PATH, {"deployments": given})
    assert response.status_code == 400
    assert list(response.json()["fields"]) == ["deployments"]
    assert fingerprint() == before


def test_a_thousand_of_the_documented_ones_fit_and_no_more(api, dev, cluster, settings):
    [example, _] = BulkSerializer.Meta.swagger_schema_fields["example"]["deployments"]
    given = {**example, "cluster_id": str(cluster.pk), "env": {"NOTE": "x" * 300}}
    response = submit(api(dev), *[given] * 1000)
    assert response.status_code == 201
    assert len(response.json()) == Deployment.objects.count() == 1000
    before = fingerprint()
    response = submit(api(dev), *[given] * 1001)
    assert response.status_code == 400
    assert response.json()["fields"] == {"deployments": ["At most 1000 items."]}
    assert fingerprint() == before


def test_what_is_of_another_cluster_cannot_be_needed(api, dev, org, cluster):
    elsewhere = make_cluster(org, name="elsewhere")
    there = make(elsewhere, dev)
    before = fingerprint()
    response = submit(
        api(dev),
        body(elsewhere, depends_on=[str(there.pk)]),
        body(cluster, depends_on=[str(there.pk)]),
    )
    assert response.status_code == 400
    assert items(response) == {
        "1": {"depends_on": [f"No deployments of this cluster: {there.pk}."]}
    }
    assert fingerprint() == before


def test_what_could_never_start_is_told(api, dev, cluster):
    failed = make(cluster, dev, Status.FAILED)
    before = fingerprint()
    response = submit(api(dev), body(cluster), body(cluster, depends_on=[str(failed.pk)]))
    assert (response.status_code, response.json()["code"]) == (409, "dependency_failed")
    assert list(items(response)) == ["1"]
    assert list(items(response)["1"]) == ["depends_on"]
    assert fingerprint() == before
