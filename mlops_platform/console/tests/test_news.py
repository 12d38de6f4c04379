"""News for open pages: one line when something has happened, for those who may know."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments.services.submit import create_deployment
from organizations.models import Membership, Organization
from organizations.tests.people import make_user

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/console/news/"
SPEC = {"image": "busybox", "cpu_milli": 1000, "ram_mib": 512, "gpu": 0}


@pytest.fixture
def cluster(org: Organization) -> Cluster:
    return make_cluster(org)


def opened(user: User) -> tuple[Iterator[bytes], Any]:
    """The stream behind its beginning, and the answer, to be closed."""
    client = Client()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    answer = client.get(PATH)
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
    stream: Any = answer
    pieces: Iterator[bytes] = stream.streaming_content
    assert next(pieces).startswith(b"retry:")
    return pieces, stream


def test_a_member_hears_of_each_change_and_a_stranger_of_none(
    cluster: Cluster, dev: User, vera: User, sam: User, sams_org: Organization
) -> None:
    (of_member, first), (of_stranger, second) = opened(vera), opened(sam)
    create_deployment(dev, cluster.pk, SPEC)
    assert next(of_member) == b"data: changed\n\n"
    create_deployment(sam, make_cluster(sams_org).pk, SPEC)
    create_deployment(dev, cluster.pk, SPEC)
    assert next(of_member) == b"data: changed\n\n"
    assert next(of_stranger) == b"data: changed\n\n"  # of sam's own submit, which came later
    for each in (first, second):
        each.close()


def test_a_member_who_is_removed_hears_no_more(cluster: Cluster, dev: User, vera: User) -> None:
    pieces, _ = opened(vera)
    Membership.objects.filter(user=vera).delete()
    create_deployment(dev, cluster.pk, SPEC)
    assert next(pieces) == b"event: end\ndata: end\n\n"
    assert next(pieces, None) is None


def test_without_an_organization_there_is_nothing_to_hear(db: None) -> None:
    client = Client()
    client.force_login(make_user("nobody"), "django.contrib.auth.backends.ModelBackend")
    assert client.get(PATH).status_code == 204
