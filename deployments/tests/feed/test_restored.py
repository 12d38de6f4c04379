"""The feed of a database that was restored from a dump, where transactions' ids begin anew."""

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F

from deployments.feed import window
from deployments.models import DeploymentEvent
from deployments.services.submit import create_deployment
from mlops_platform.api.answers.commit_order import cursor_of
from mlops_platform.tests.equipment.errors import error_body

pytestmark = pytest.mark.django_db(transaction=True)

SPEC = {"image": "train:1.2", "cpu_milli": 1000, "ram_mib": 512, "gpu": 1}


def events_of(api, user, org, query=""):
    answer = api(user).get(f"/api/orgs/{org.pk}/events{query}")
    assert answer.status_code == 200
    return [each["deployment_id"] for each in answer.json()]


def test_what_is_written_after_a_restore_comes_after_what_was_restored(api, dev, org, cluster):
    old = [str(create_deployment(dev, cluster.pk, SPEC).deployment.pk) for _ in range(2)]
    DeploymentEvent.objects.update(transaction_id=F("transaction_id") + 10**9)  # of another server
    new = str(create_deployment(dev, cluster.pk, SPEC).deployment.pk)
    call_command("migrate", verbosity=0)
    assert events_of(api, dev, org) == [*old, new]


def test_migrating_moves_no_event_of_this_server(dev, cluster):
    create_deployment(dev, cluster.pk, SPEC)
    before = list(DeploymentEvent.objects.values_list("pk", "transaction_id"))
    call_command("migrate", verbosity=0)
    assert list(DeploymentEvent.objects.values_list("pk", "transaction_id")) == before


def test_a_dump_that_was_restored_ends_the_cursors_of_before(api, dev, org, cluster):
    """pg_restore --clean makes the table anew, and so does this."""
    seen = window.seen_now()
    before = cursor_of(seen.position, seen)
    table = window.TABLE
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE made_anew (LIKE {table} INCLUDING ALL)")
        cursor.execute(f"ALTER TABLE {table} RENAME TO of_before")
        cursor.execute(f"ALTER TABLE made_anew RENAME TO {table}")
        try:
            answer = api(dev).get(f"/api/orgs/{org.pk}/events?since={before}")
            assert (answer.status_code, error_body(answer)["code"]) == (410, "cursor_expired")
            assert events_of(api, dev, org, "?since=now") == []
        finally:
            cursor.execute(f"DROP TABLE {table}")
            cursor.execute(f"ALTER TABLE of_before RENAME TO {table}")
