"""`manage.py migrate` beside processes that use the tables."""

from collections.abc import Iterator
from io import StringIO

import psycopg2
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from mlops_platform.environment.database import ONE_MIGRATION
from mlops_platform.management.commands import migrate

SLEEP = "mlops_platform.management.commands.migrate.time.sleep"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other() -> Iterator["psycopg2.extensions.connection"]:
    """Another process's connection to the tests' database."""
    database = connection.settings_dict
    with psycopg2.connect(
        host=database["HOST"],
        port=database["PORT"] or None,
        user=database["USER"],
        password=database["PASSWORD"] or None,
        dbname=database["NAME"],
    ) as session:
        yield session
    session.close()


@pytest.fixture
def before_0009() -> Iterator[None]:
    """The schema before clusters.0009 and all that depends on it."""
    call_command("migrate", "clusters", "0008", verbosity=0)
    yield
    call_command("migrate", verbosity=0)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that migrate makes, none of which the test waits for."""
    made: list[float] = []
    monkeypatch.setattr(SLEEP, made.append)
    return made


def has_column(table: str, column: str) -> bool:
    with connection.cursor() as cursor:
        names = connection.introspection.get_table_description(cursor, table)
    return column in {each.name for each in names}


def test_a_locked_table_is_tried_again_until_it_is_free(
    before_0009: None, other: "psycopg2.extensions.connection", monkeypatch: pytest.MonkeyPatch
) -> None:
    other.cursor().execute("LOCK TABLE clusters_cluster IN ACCESS SHARE MODE")
    monkeypatch.setattr(SLEEP, lambda _pause: other.rollback())
    said = StringIO()
    call_command("migrate", stdout=said)
    assert said.getvalue().count("A table is locked; trying again in 1 s.") == 1
    assert has_column("clusters_cluster", "deleted_at")


def test_a_table_that_stays_locked_is_one_sentence_and_the_next_run_goes_on(
    before_0009: None,
    other: "psycopg2.extensions.connection",
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migrate, "ATTEMPTS", 2)
    other.cursor().execute("LOCK TABLE clusters_cluster IN ACCESS SHARE MODE")
    with pytest.raises(CommandError, match="Nothing is half done: run it again"):
        call_command("migrate", stdout=StringIO())
    assert pauses == [1.0]
    assert not has_column("clusters_cluster", "deleted_at")
    other.rollback()
    call_command("migrate", verbosity=0)
    assert has_column("clusters_cluster", "deleted_at")


def test_another_error_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("no space left on device")

    monkeypatch.setattr("django.core.management.commands.migrate.Command.handle", fail)
    with pytest.raises(OperationalError, match="no space left"):
        call_command("migrate")
    assert pauses == []


def test_a_migration_that_was_interrupted_goes_on() -> None:
    """Its index is there already, and one is invalid, as a killed CREATE INDEX leaves it."""
    call_command("migrate", "deployments", "0006", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX deployment_of_owner ON deployments_deployment (name)")
        cursor.execute(
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'deployment_of_owner'::regclass"
        )
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
        assert cursor.fetchone() == (0,)
        cursor.execute("DROP INDEX deployment_of_owner")  # the one of this test had another column
    call_command("migrate", "deployments", "0006", verbosity=0)
    call_command("migrate", verbosity=0)


def test_of_two_migrations_at_once_the_second_waits(
    other: "psycopg2.extensions.connection", monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = other.cursor()
    cursor.execute("SELECT pg_advisory_lock(%s)", [ONE_MIGRATION])
    waited: list[float] = []

    def end_the_first(pause: float) -> None:
        waited.append(pause)
        cursor.execute("SELECT pg_advisory_unlock(%s)", [ONE_MIGRATION])

    monkeypatch.setattr(SLEEP, end_the_first)
    call_command("migrate", verbosity=0)
    assert waited == [migrate.POLL_S]
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [ONE_MIGRATION])
    assert cursor.fetchone() == (True,), "the second keeps the lock after its end"


def test_each_constraint_is_proved_and_has_the_name_that_postgresql_gives() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT conname::text, convalidated FROM pg_constraint WHERE contype = 'c'")
        proved = dict(cursor.fetchall())
    assert all(proved.values()), proved
    table = "deployments_deployment"
    assert proved.keys() >= {f"{table}_attempt_check", f"{table}_pending_dependencies_check"}
