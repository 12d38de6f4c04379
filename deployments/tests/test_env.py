"""The values of `env`: sealed in the row, opened for the runtime alone, and in no log."""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from redis import Redis

from accounts.models import User
from clusters.models import Cluster
from deployments import env
from deployments.models import Deployment
from deployments.tests.workloads import body, make
from mlops_platform.sealing import Unsealable
from mlops_platform.tests.equipment.plugin import EMBEDDED
from organizations.tests.people import JsonClient, all_at_once

PATH = "/api/deployments"
SECRET = "hunter2-quite-unlikely"
VALUES = {"TOKEN": SECRET, "EMPTY": "", "SEED": "42"}

Clients = Callable[[User], JsonClient]


def test_a_row_keeps_names_in_clear_text_and_values_sealed() -> None:
    kept = env.sealed(VALUES)
    assert kept[:-1] == ["EMPTY", "SEED", "TOKEN"]
    assert SECRET not in kept[-1]
    assert env.unsealed(kept) == VALUES
    assert env.sealed({}) == []
    assert env.unsealed([]) == {}
    assert env.unsealed(env.sealed({"EMPTY": ""})) == {"EMPTY": ""}


def test_a_row_of_an_earlier_version_is_read_as_well(cluster: Cluster, dev: User) -> None:
    row = make(cluster, dev)
    row.env = dict(VALUES)
    assert row.env_names == sorted(VALUES)
    assert env.unsealed(row.env) == VALUES
    assert env.unsealed(env.resealed(row.env)) == VALUES


def test_values_that_no_key_opens_raise_an_error_without_them(settings) -> None:
    kept = env.sealed(VALUES)
    settings.CREDENTIALS_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(Unsealable) as raised:
        env.unsealed(kept)
    assert SECRET not in str(raised.value)


def everything_stored() -> str:
    """Every row of every table, and every value in Redis."""
    found = []
    with connection.cursor() as cursor:
        for name in connection.introspection.table_names():
            cursor.execute(f'SELECT each::text FROM "{name}" AS each')
            found += [text for (text,) in cursor.fetchall()]
    with Redis.from_url(settings.REDIS_URL) as redis:
        found += [repr((key, redis.dump(key))) for key in redis.scan_iter()]
    return "\n".join(found)


def what_postgresql_has_logged() -> str:
    """Nothing where the server is not the tests' own."""
    if "postgres" not in os.environ[EMBEDDED].split():
        return ""
    log = Path(os.environ["MLOPS_DATA_DIR"]) / "log" / "postgres.log"
    assert log.stat().st_mode & 0o777 == 0o600
    return log.read_text()


def test_no_value_is_stored_or_logged_whatever_goes_wrong(
    transactional_db: None,
    api: Clients,
    ada: User,
    dev: User,
    cluster: Cluster,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Repeats of every kind, at once and in turn, refusals, and statements that fail."""
    secret = {"env": VALUES}
    client = api(dev)
    for replicas in (1, 1, 2):
        given = body(cluster, **secret, replicas=replicas)
        client.post(PATH, given, headers={"Idempotency-Key": "a"})
    for number in (1, 1, 2):
        bulk = {"deployments": [body(cluster, **secret)] * number}
        client.post(f"{PATH}/bulk", bulk, headers={"Idempotency-Key": "b"})
        client.post(f"{PATH}/bulk", bulk, headers={"Idempotency-Key": "a"})
    all_at_once(
        *[
            partial(api(dev).post, PATH, body(cluster, **secret), headers={"Idempotency-Key": "c"})
            for _ in range(4)
        ]
    )
    wrongs: list[dict[str, Any]] = [
        {"replicas": 0},
        {"quote": "x"},
        {"depends_on": [str(cluster.pk)]},
    ]
    for wrong in wrongs:
        assert client.post(PATH, body(cluster, **secret, **wrong)).status_code == 400
    client.post(f"/api/clusters/{cluster.pk}/quote", body(cluster, **secret))
    first = Deployment.objects.order_by("pk")[0]
    for changes in ({"replicas": -1}, {"status": "LOST"}, {"name": "x" * 101}, {"id": None}):
        with pytest.raises(DatabaseError), transaction.atomic():
            Deployment.objects.filter(pk=first.pk).update(**changes)
    unknown_table = "SELECT 1 FROM nowhere WHERE value = %s"
    canceled = "SET LOCAL statement_timeout = 1; SELECT pg_sleep(1), %s"
    no_json = "SELECT ('{' || %s)::jsonb"
    for statement in (unknown_table, canceled, no_json):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, [SECRET])

    stored = everything_stored()
    assert str(first.pk) in stored
    said = capfd.readouterr()
    for text in (stored, what_postgresql_has_logged(), said.out, said.err, caplog.text):
        assert SECRET not in text
        assert SECRET.encode().hex() not in text


def test_a_repeated_submit_fails_no_statement(
    transactional_db: None, api: Clients, dev: User, cluster: Cluster
) -> None:
    before = what_postgresql_has_logged().count("ERROR")
    for _ in range(3):
        headers = {"Idempotency-Key": "once"}
        assert api(dev).post(PATH, body(cluster), headers=headers).status_code == 201
    assert what_postgresql_has_logged().count("ERROR") == before


def test_what_a_row_keeps_of_a_body_cannot_be_computed_from_guesses(
    api: Clients, dev: User, cluster: Cluster
) -> None:
    """Two keys of the platform with equal bodies have digests that differ with SECRET_KEY alone."""
    given = body(cluster, env={"PIN": "1234"})
    api(dev).post(PATH, given, headers={"Idempotency-Key": "a"})
    kept = Deployment.objects.get().idempotency_digest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "SECRET_KEY", "another")
        api(dev).post(PATH, given, headers={"Idempotency-Key": "b"})
    assert Deployment.objects.get(idempotency_key="b").idempotency_digest != kept


def test_a_submit_of_an_earlier_version_can_be_repeated(
    api: Clients, dev: User, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row has the digest itself, and `env` in clear text."""
    given = body(cluster, env=VALUES)
    with monkeypatch.context() as patch:
        patch.setattr("deployments.services.drafting.idempotency._kept", lambda digest: digest)
        first = api(dev).post(PATH, given, headers={"Idempotency-Key": "a"})
    Deployment.objects.update(env=VALUES)
    again = api(dev).post(PATH, given, headers={"Idempotency-Key": "a"})
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
    assert len(Deployment.objects.get().idempotency_digest) == len(hashlib.sha256().hexdigest())


def test_the_migration_seals_rows_of_earlier_versions_and_opens_them_again(
    transactional_db: None, cluster: Cluster, dev: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    migration = import_module("deployments.migrations.0008_seal_env")
    monkeypatch.setattr(migration, "BATCH", 2)
    rows = [make(cluster, dev, env={"N": str(number)}) for number in range(3)]
    plain = [make(cluster, dev) for _ in range(5)]
    for number, row in enumerate(plain):
        row.env = {"N": f"{SECRET}{number}"} if number else {}
        row.save(update_fields=["env"])
    migration.seal(apps, None)
    assert SECRET not in everything_stored()
    for row in (*rows, *plain):
        row.refresh_from_db()
    assert [env.unsealed(row.env) for row in rows] == [{"N": str(number)} for number in range(3)]
    assert [row.env_names for row in plain] == [[], ["N"], ["N"], ["N"], ["N"]]
    assert env.unsealed(plain[4].env) == {"N": f"{SECRET}4"}
    migration.unseal(apps, None)
    plain[4].refresh_from_db()
    assert plain[4].env == {"N": f"{SECRET}4"}


def test_the_migration_comes_back_to_rows_that_another_transaction_has_locked(
    transactional_db: None, cluster: Cluster, dev: User
) -> None:
    migration = import_module("deployments.migrations.0008_seal_env")
    row = make(cluster, dev)
    Deployment.objects.update(env={"TOKEN": SECRET})

    def lock_for_a_while() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            Deployment.objects.select_for_update().get(pk=row.pk)
            cursor.execute("SELECT pg_sleep(0.5)")

    all_at_once(lock_for_a_while, partial(migration.seal, apps, None))
    row.refresh_from_db()
    assert env.unsealed(row.env) == {"TOKEN": SECRET}
    assert SECRET not in everything_stored()


def test_a_rotation_seals_both_forms_with_the_first_key(
    cluster: Cluster, dev: User, settings, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = settings.CREDENTIALS_KEYS[0], Fernet.generate_key().decode()
    row, plain, _ = (make(cluster, dev, env=values) for values in (VALUES, VALUES, {}))
    Deployment.objects.filter(pk=plain.pk).update(env=VALUES)
    settings.CREDENTIALS_KEYS = [new, old]
    call_command("rotate_credentials")
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Environments: 2 sealed again, 0 under the first key already, 0 that no key opens."
    )
    settings.CREDENTIALS_KEYS = [new]
    for each in (row, plain):
        each.refresh_from_db()
        assert env.unsealed(each.env) == VALUES
    call_command("rotate_credentials")
    assert "Environments: 0 sealed again, 2 under" in capsys.readouterr().out
