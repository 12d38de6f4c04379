"""Deployments start with the newest values of their secrets, or say why they cannot."""

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from django.utils import timezone

from clusters.models import Node
from deployments.models import Deployment, DeploymentEvent
from deployments.runtimes.base import LaunchSpec, Secrets
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.testbed import Testbed, reason
from organizations.models import Secret, SecretUse
from organizations.secrets import owners
from organizations.secrets.services import delete_secret, put_secret
from organizations.tests.people import make_user

VALUE = "hunter2-quite-unlikely"
ENV = {"name": "hf", "env": "HF_TOKEN"}
FILE = {"name": "hf", "file": "hub/token"}


@pytest.fixture
def shared(testbed: Testbed) -> Secret:
    return write(testbed, VALUE)


def write(testbed: Testbed, value: str, name: str = "hf") -> Secret:
    dev = testbed.people["dev"]
    secret, _ = put_secret(dev, owners.organization(testbed.cluster.organization_id), name, value)
    return secret


def forget(testbed: Testbed, name: str = "hf") -> None:
    owner = owners.organization(testbed.cluster.organization_id)
    delete_secret(testbed.people["dev"], owner, name, force=True)


def specs(testbed: Testbed, node: Node) -> list[LaunchSpec]:
    return testbed.runtime_of(node).launch_specs


def uses() -> list[tuple[Any, int, int]]:
    rows = SecretUse.objects.order_by("pk")
    return list(rows.values_list("deployment_id", "attempt", "version"))


def test_a_deployment_starts_with_its_secrets(testbed: Testbed, a: Node, shared: Secret) -> None:
    testbed.reconcile()
    row = testbed.submit(secrets=[ENV, FILE])
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    [spec] = specs(testbed, a)
    assert spec.secrets == Secrets({"HF_TOKEN": VALUE}, {"hub/token": VALUE})
    assert VALUE not in repr(spec)
    assert VALUE not in spec.env.values()
    assert uses() == [(row.pk, 1, 1)]
    use = SecretUse.objects.get()
    assert (use.user_id, use.at) == (row.owner_id, Secret.objects.get().last_used_at)


def test_what_runs_keeps_its_version_and_the_next_attempt_takes_the_newest(
    testbed: Testbed, a: Node, shared: Secret
) -> None:
    testbed.reconcile()
    row = testbed.submit(secrets=[ENV], max_retries=1)
    testbed.settle()
    write(testbed, "newer")
    testbed.settle()
    assert [spec.secrets.env for spec in specs(testbed, a)] == [{"HF_TOKEN": VALUE}]
    [status] = testbed.runtime_of(a).observe()
    testbed.runtime_of(a).vanish(status.key)  # it goes back to the queue
    testbed.settle()
    Deployment.objects.update(retry_at=None)
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    assert [spec.secrets.env["HF_TOKEN"] for spec in specs(testbed, a)] == [VALUE, "newer"]
    assert uses() == [(row.pk, 1, 1), (row.pk, 2, 2)]


def test_a_person_uses_their_own_and_that_of_no_other(testbed: Testbed, a: Node) -> None:
    testbed.reconcile()
    for person in (testbed.people["dev"], make_user("another")):
        put_secret(person, owners.person(person.pk), "hf", f"of {person.username}")
    testbed.submit(secrets=[ENV])
    testbed.settle()
    [spec] = specs(testbed, a)
    assert spec.secrets.env == {"HF_TOKEN": "of dev"}


def test_a_deployment_whose_secret_has_vanished_says_so_and_starts_once_it_is_back(
    testbed: Testbed, a: Node, shared: Secret
) -> None:
    testbed.reconcile()
    write(testbed, "x", "other")
    row = testbed.submit(secrets=[{"name": "other", "env": "X"}, ENV])
    other = testbed.submit()
    forget(testbed)
    testbed.settle()
    assert (testbed.status(row), testbed.status(other)) == ("STARTING", "RUNNING")
    why = reason(row)
    assert why["code"] == "SECRET_MISSING"
    assert why["message"].startswith("The secret hf for HF_TOKEN does not exist any more")
    assert uses() == []
    write(testbed, "back")
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"
    assert specs(testbed, a)[-1].secrets.env == {"X": "x", "HF_TOKEN": "back"}


def test_a_deployment_whose_secret_is_missing_for_ten_minutes_has_failed(
    testbed: Testbed, a: Node, shared: Secret
) -> None:
    testbed.reconcile()
    row = testbed.submit(secrets=[FILE])
    testbed.cycle()
    forget(testbed)
    Deployment.objects.update(admitted_at=timezone.now() - timedelta(minutes=11))
    testbed.reconcile()
    assert testbed.status(row) == "FAILED"
    why = reason(row)
    assert why["code"] == "SECRET_MISSING"
    assert "hf for hub/token" in why["message"]
    assert specs(testbed, a) == []


def test_the_name_of_a_persons_secret_is_in_no_reason_and_no_event(
    testbed: Testbed, a: Node
) -> None:
    testbed.reconcile()
    dev = testbed.people["dev"]
    put_secret(dev, owners.person(dev.pk), "private-name", VALUE)
    row = testbed.submit(secrets=[{"name": "private-name", "env": "X"}])
    delete_secret(dev, owners.person(dev.pk), "private-name", force=True)
    testbed.settle()
    assert reason(row)["message"].startswith("The secret for X does not exist any more")
    told = json.dumps(list(DeploymentEvent.objects.values("type", "details")))
    assert "private-name" not in told + json.dumps(reason(row))


def test_a_secret_that_no_key_opens_is_told_from_one_that_is_missing(
    testbed: Testbed, a: Node, shared: Secret, settings: Any
) -> None:
    testbed.reconcile()
    row = testbed.submit(secrets=[ENV])
    keys, settings.CREDENTIALS_KEYS = settings.CREDENTIALS_KEYS, [Fernet.generate_key().decode()]
    testbed.settle()
    assert (testbed.status(row), reason(row)["code"]) == ("STARTING", "SECRET_SEALED")
    settings.CREDENTIALS_KEYS = keys
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"


def test_all_starts_of_a_pass_read_their_secrets_at_once(
    testbed: Testbed, a: Node, shared: Secret
) -> None:
    """And those without secrets read none."""
    testbed.reconcile()

    def statements(count: int, **columns: Any) -> list[str]:
        for _ in range(count):
            testbed.submit(cpu_milli=10, ram_mib=10, gpu=0, **columns)
        testbed.cycle()
        sent: list[str] = []

        def note(execute: Any, sql: str, *given: Any) -> Any:
            sent.append(sql)
            return execute(sql, *given)

        with connection.execute_wrapper(note):
            testbed.reconcile()
        return [sql for sql in sent if "organizations_secret" in sql]

    assert statements(3) == []
    few, many = statements(1, secrets=[ENV]), statements(5, secrets=[ENV, FILE])
    assert len(few) == len(many)


def test_a_use_is_written_once_however_long_the_image_takes(
    testbed: Testbed, a: Node, shared: Secret
) -> None:
    testbed.reconcile()
    testbed.runtime_of(a).delayed_images["slow"] = "the registry is away"
    row = testbed.submit("slow", secrets=[ENV])
    testbed.settle()
    assert (testbed.status(row), uses()) == ("STARTING", [(row.pk, 1, 1)])
    written: list[str] = []

    def note(execute: Any, sql: str, *given: Any) -> Any:
        if "organizations_secret" in sql and not sql.startswith("SELECT"):
            written.append(sql)
        return execute(sql, *given)

    with connection.execute_wrapper(note):
        testbed.reconcile()
    assert testbed.status(row) == "STARTING"
    assert written == []
    write(testbed, "newer")
    testbed.reconcile()
    assert uses() == [(row.pk, 1, 1), (row.pk, 1, 2)]


def test_a_value_is_in_no_table_no_log_and_no_event(
    testbed: Testbed, a: Node, shared: Secret, caplog: Any
) -> None:
    testbed.reconcile()
    with caplog.at_level(logging.DEBUG):
        row = testbed.submit(secrets=[ENV, FILE])
        testbed.settle()
        stop_deployment(testbed.people["dev"], row)
        testbed.settle()
    assert testbed.status(row) == "STOPPED"
    assert VALUE not in json.dumps([vars(line) for line in caplog.records], default=str)
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(
                f'SELECT count(*) FROM "{table}" AS r WHERE r::text LIKE %s', [f"%{VALUE}%"]
            )
            assert cursor.fetchone() == (0,), table
