"""What really ran between a backup and its restore: rows and containers agree again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from clusters.models import Node
from deployments.models import Deployment
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.testbed import Testbed, docker_runtimes_from
from organizations.models import Role
from organizations.services import create_organization
from organizations.tests.people import make_member, make_user
from scheduler import audit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def testbed(other_database: None) -> Iterator[Testbed]:
    organization = create_organization(make_user("ada"), "Lab")
    made = Testbed(organization, {"dev": make_member(organization, "dev", Role.DEVELOPER)})
    with docker_runtimes_from(made.connect):
        yield made


@pytest.fixture
def node(testbed: Testbed) -> Node:
    made = testbed.add_node("a", cpu_milli=16000, gpu=8)
    testbed.reconcile()
    return made


def test_after_a_restore_containers_and_rows_agree_again(
    testbed: Testbed, node: Node, tmp_path: Path
) -> None:
    goes_on, stopped, failed = (testbed.submit(max_retries=3) for _ in range(3))
    testbed.settle()
    waits = testbed.submit()
    connection.close()
    call_command("backup", str(tmp_path / "backup"))

    stop_deployment(testbed.people["dev"], testbed.fresh(stopped))
    testbed.runtime_of(node).vanish(testbed.key(failed))
    newer = testbed.submit()
    testbed.settle()
    testbed.end_retry_pauses()
    testbed.settle()
    before = {"waits": waits, "newer": newer, "failed": failed, "goes on": goes_on}
    assert {name: testbed.status(row) for name, row in before.items()} == dict.fromkeys(
        before, "RUNNING"
    )
    assert (testbed.status(stopped), testbed.fresh(failed).attempt) == ("STOPPED", 2)

    connection.close()
    call_command("restore", str(tmp_path / "backup"), replace=True)
    assert testbed.fresh(failed).attempt == 1
    assert not Deployment.objects.filter(pk=newer.pk).exists()
    testbed.settle()
    testbed.end_retry_pauses()
    testbed.settle()

    rows = [goes_on, stopped, failed, waits]
    assert [testbed.status(row) for row in rows] == ["RUNNING"] * 4
    assert testbed.fresh(goes_on).attempt == 1, "it has run all the time"
    running = testbed.runtime_of(node).observe()
    assert {each.key for each in running} == {testbed.key(row) for row in rows}
    assert audit.breaches() == []
