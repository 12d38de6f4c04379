"""Offers to a waiting deployment: accepted, each starts it at once or changes nothing."""

from typing import Any

import pytest
from rest_framework.exceptions import NotFound, PermissionDenied

from accounts.models import User
from clusters.models import Cluster
from deployments.house_rules import HouseRules
from deployments.models import Deployment, Status
from deployments.queries.deployments import deployment_by_id
from mlops_platform.api.errors import Conflict, Invalid
from organizations.models import Organization
from scheduler import audit
from scheduler.answers import offers
from scheduler.answers.explain import explain
from scheduler.answers.offers import Change, Offer
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db


@pytest.fixture
def east(org: Organization) -> Cluster:
    return Cluster.objects.create(
        organization=org,
        name="gpu-east",
        total_cpu_milli=64_000,
        total_ram_mib=512 * 1024,
        total_gpu=8,
    )


@pytest.fixture
def waiting(cluster: Cluster, submit: Submit) -> Deployment:
    """It asks for 4 GPUs, of which 2 are free; a LOW one has the others."""
    submit("LOW", gpu=6, name="nightly")
    run_cycle(cluster)
    found = submit("LOW", gpu=4, name="train", env={"SEED": "1"})
    run_cycle(cluster)
    return deployment_by_id(found.pk)


def offered(user: User, deployment: Deployment) -> dict[str, Offer]:
    found = offers.offers(user, deployment, explain(deployment))
    return {each.change.field: each for each in found}


def accept(user: User, deployment: Deployment, offer: Offer) -> Deployment:
    return offers.accept(user, deployment, Change.read(str(offer.change)), offer.token)


def test_what_is_offered_names_the_change_and_its_victims(
    dev: User, waiting: Deployment, east: Cluster
) -> None:
    found = offered(dev, waiting)
    assert found["required_gpu"].change.value == "2"
    assert found["required_gpu"].evicts == []
    assert found["priority"].change.value == "HIGH"
    assert [each["name"] for each in found["priority"].evicts] == ["nightly"]
    assert found["cluster_id"].cluster == "gpu-east"


@pytest.mark.parametrize("field", ["required_gpu", "priority", "cluster_id"])
def test_an_accepted_offer_starts_it_at_once(
    dev: User, waiting: Deployment, east: Cluster, field: str
) -> None:
    runs = accept(dev, waiting, offered(dev, waiting)[field])
    assert runs.status == Status.RUNNING
    waiting.refresh_from_db()
    if field == "cluster_id":
        assert (runs.cluster_id, waiting.status) == (east.pk, Status.STOPPED)
        assert (runs.rerun_of_id, runs.env_names) == (waiting.pk, ["SEED"])
    else:
        assert runs.pk == waiting.pk
    assert audit.breaches() == []


def others_change(cluster: Cluster, submit: Submit) -> None:
    submit("LOW", gpu=2)
    run_cycle(cluster)


@pytest.mark.parametrize("field", ["required_gpu", "priority"])
def test_an_offer_that_holds_no_longer_changes_nothing(
    dev: User, waiting: Deployment, cluster: Cluster, submit: Submit, field: str
) -> None:
    offer = offered(dev, waiting)[field]
    others_change(cluster, submit)
    before = deployment_by_id(waiting.pk).__dict__ | {"_state": None}
    with pytest.raises(Conflict) as refused:
        accept(dev, waiting, offer)
    assert refused.value.get_codes() == "quote_stale"
    after = deployment_by_id(waiting.pk)
    assert (after.gpu, after.priority_class.name) == (4, "LOW")
    assert after.__dict__ | {"_state": None} == before


def test_a_move_that_holds_no_longer_leaves_the_first_in_the_queue(
    dev: User, waiting: Deployment, east: Cluster, submit: Submit
) -> None:
    offer = offered(dev, waiting)["cluster_id"]
    submit("LOW", gpu=8, into=east)
    run_cycle(east)
    with pytest.raises(Conflict):
        accept(dev, waiting, offer)
    waiting.refresh_from_db()
    assert waiting.status == Status.QUEUED
    assert not Deployment.objects.filter(rerun_of_id=waiting.pk).exists()


def test_an_offer_is_accepted_once(dev: User, waiting: Deployment) -> None:
    offer = offered(dev, waiting)["required_gpu"]
    accept(dev, waiting, offer)
    with pytest.raises(Conflict):
        accept(dev, waiting, offer)


def test_what_others_depend_on_is_not_offered_to_move(
    dev: User, waiting: Deployment, east: Cluster, submit: Submit
) -> None:
    offer = offered(dev, waiting)["cluster_id"]
    submit("LOW", gpu=1, depends_on=[str(waiting.pk)])
    assert "cluster_id" not in offered(dev, waiting)
    with pytest.raises(Conflict):
        accept(dev, waiting, offer)


def test_a_token_is_good_for_its_own_change_alone(dev: User, waiting: Deployment) -> None:
    found = offered(dev, waiting)
    with pytest.raises(Conflict):
        accept(dev, waiting, found["required_gpu"]._replace(token=found["priority"].token))
    with pytest.raises(Invalid):
        accept(dev, waiting, found["required_gpu"]._replace(token="none"))
    assert deployment_by_id(waiting.pk).status == Status.QUEUED


def test_a_viewer_and_a_stranger_accept_nothing(
    dev: User, vera: User, sam: User, waiting: Deployment
) -> None:
    offer = offered(dev, waiting)["required_gpu"]
    with pytest.raises(PermissionDenied):
        accept(vera, waiting, offer)
    with pytest.raises(NotFound):
        accept(sam, waiting, offer)
    assert deployment_by_id(waiting.pk).status == Status.QUEUED


def test_a_move_is_offered_to_the_owner_alone(
    ada: User, dev: User, waiting: Deployment, east: Cluster
) -> None:
    offer = offered(dev, waiting)["cluster_id"]
    assert "cluster_id" not in offered(ada, waiting)
    assert "required_gpu" in offered(ada, waiting)
    with pytest.raises(PermissionDenied):
        accept(ada, waiting, offer)
    waiting.refresh_from_db()
    assert waiting.status == Status.QUEUED


def test_house_rules_are_kept(org: Organization, dev: User, waiting: Deployment) -> None:
    house = HouseRules.objects.create(organization=org, confirm_evictions=True)
    offer = offered(dev, waiting)["priority"]
    house.restricted = [{"priority": "HIGH", "role": "ADMIN", "members": []}]
    house.save()
    assert "priority" not in offered(dev, waiting)
    with pytest.raises(PermissionDenied):
        accept(dev, waiting, offer)
    house.restricted = []
    house.save()
    assert accept(dev, waiting, offer).status == Status.RUNNING  # the offer has named its victims


@pytest.mark.parametrize(
    "text",
    ["", "image=busybox", "priority=", "required_gpu=x", "required_gpu=-1", "required_gpu=0.5"],
)
def test_what_is_no_change_is_refused(dev: User, waiting: Deployment, text: Any) -> None:
    with pytest.raises(Invalid):
        offers.accept(dev, waiting, Change.read(text), "token")


def test_what_runs_is_offered_nothing(dev: User, cluster: Cluster, submit: Submit) -> None:
    runs = submit("LOW", gpu=1)
    run_cycle(cluster)
    assert offered(dev, deployment_by_id(runs.pk)) == {}
