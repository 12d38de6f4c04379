"""Deletions of many large clusters leave the runtimes' threads to others."""

from collections.abc import Iterator

import pytest
from django.utils import timezone

from clusters.models import Cluster, State
from clusters.services import deletion
from clusters.tests.allocation import make_cluster
from mlops_platform.api.throttling.slots import Slots
from organizations.models import Organization

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slots]:
    turns = Slots(all=4, organization=2)
    monkeypatch.setattr(deletion, "TURNS", turns)
    yield turns
    assert not turns._taken


def deleted(organization: Organization) -> Cluster:
    cluster = make_cluster(organization, name="gone")
    cluster.state, cluster.deleted_at = State.DELETING, timezone.now()
    cluster.save(update_fields=["state", "deleted_at"])
    return cluster


def is_there(cluster: Cluster) -> bool:
    return Cluster.with_deleted.filter(pk=cluster.pk).exists()


def test_an_organization_takes_two_turns_at_once_and_the_next_sweep_finds_the_rest(
    org: Organization, sams_org: Organization, turns: Slots
):
    first, other = deleted(org), deleted(sams_org)
    taken = {"organization": str(org.pk)}
    assert turns.acquire(taken)
    assert turns.acquire(taken)
    for cluster in (first, other):
        deletion.take_turn(cluster.pk)
    assert is_there(first)
    assert not is_there(other)
    for _ in range(2):
        turns.release(taken)
    deletion.take_turn(first.pk)
    assert not is_there(first)


def test_a_turn_that_fails_gives_its_thread_back(
    org: Organization, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> deletion.Left:
        raise RuntimeError("a bug")

    cluster = deleted(org)
    monkeypatch.setattr(deletion, "delete_rows", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        deletion.take_turn(cluster.pk)
