"""The testbed and its nodes as fixtures."""

from collections.abc import Iterator

import pytest

from accounts.models import User
from clusters.models import Node
from deployments.tests.reconciler.testbed import Testbed, docker_runtimes_from
from organizations.models import Organization
from scheduler import audit


@pytest.fixture
def testbed(db: None, org: Organization, dev: User) -> Iterator[Testbed]:
    """The audit finds no breach afterwards, whatever a test does."""
    testbed = Testbed(org, {"dev": dev})
    with docker_runtimes_from(testbed.connect):
        yield testbed
    assert audit.breaches() == []


@pytest.fixture
def a(testbed: Testbed) -> Node:
    return testbed.add_node("a")


@pytest.fixture
def b(testbed: Testbed, a: Node) -> Node:
    return testbed.add_node("b")
