"""`make lint` refuses each kind of migration that would hurt a live table or the version before."""

import importlib.util
from types import ModuleType

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.models import Q

from mlops_platform.database.migrations import AddFieldThenCheck
from mlops_platform.tests.equipment.plugin import REPOSITORY

# The introspection of what a dropped column takes with it asks the database.
pytestmark = pytest.mark.django_db(transaction=True)
DEPLOYMENT = "deployment"


@pytest.fixture(scope="module")
def linter() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lint", REPOSITORY / ".ci" / "migrations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rules(linter: ModuleType, *operations: Operation, atomic: bool = True) -> set[str]:
    """The rules that a migration of deployments with these operations breaks."""
    migration = sample(*operations, atomic=atomic)
    loader = MigrationLoader(None)
    return {rule for rule, _ in linter.problems(migration, loader.project_state())}


def sample(*operations: Operation, atomic: bool = True) -> migrations.Migration:
    content = {"operations": list(operations), "atomic": atomic}
    kind: type[migrations.Migration] = type("Sample", (migrations.Migration,), content)
    return kind("sample", "deployments")


def add(field: models.Field, name: str = "extra") -> migrations.AddField:
    return migrations.AddField(DEPLOYMENT, name, field)


def backfill(_apps: object, _editor: object) -> None: ...


BAD = {
    "not null without a default": (
        add(models.IntegerField(default=0)),
        {"unsafe-operation", "ban-drop-default"},
    ),
    "not null without any default": (
        migrations.RunSQL("ALTER TABLE deployments_deployment ADD COLUMN extra xid8 NOT NULL"),
        {"adding-required-field"},
    ),
    "a default that rewrites the table": (
        migrations.RunSQL(
            "ALTER TABLE deployments_deployment ADD COLUMN extra uuid DEFAULT gen_random_uuid()"
        ),
        {"adding-field-with-default"},
    ),
    "a check within the new column": (
        add(models.PositiveIntegerField(null=True)),
        {"check-in-add-column"},
    ),
    "an index that locks the table": (
        migrations.RunSQL("CREATE INDEX extra ON deployments_deployment (name)"),
        {"require-concurrent-index-creation"},
    ),
    "a dropped index that locks the table": (
        migrations.RunSQL("DROP INDEX deployment_due"),
        {"require-concurrent-index-deletion"},
    ),
    "a unique constraint that locks the table": (
        migrations.RunSQL("ALTER TABLE deployments_deployment ADD CONSTRAINT extra UNIQUE (name)"),
        {"disallowed-unique-constraint", "constraint-missing-not-valid"},
    ),
    "a check that reads the table under its lock": (
        migrations.RunSQL("ALTER TABLE deployments_deployment ADD CONSTRAINT x CHECK (gpu < 9)"),
        {"constraint-missing-not-valid"},
    ),
    "a foreign key that reads the table under its lock": (
        migrations.RunSQL(
            "ALTER TABLE deployments_deployment ADD CONSTRAINT extra"
            " FOREIGN KEY (owner_id) REFERENCES accounts_user (id)"
        ),
        {"adding-foreign-key-constraint", "constraint-missing-not-valid"},
    ),
    "a column that becomes not null": (
        migrations.AlterField(DEPLOYMENT, "max_runtime_s", models.IntegerField(default=1)),
        {"set-not-null"},
    ),
    "another type": (
        migrations.AlterField(DEPLOYMENT, "gpu", models.FloatField()),
        {"unsafe-operation", "changing-column-type"},
    ),
    "a dropped column": (migrations.RemoveField(DEPLOYMENT, "readiness"), {"ban-drop-column"}),
    "a dropped table": (migrations.DeleteModel("DeploymentLog"), {"ban-drop-table"}),
    "a dropped constraint": (
        migrations.RemoveConstraint(DEPLOYMENT, "request_is_sound"),
        {"ban-drop-constraint"},
    ),
    "a renamed column": (
        migrations.RenameField(DEPLOYMENT, "readiness", "probe"),
        {"unsafe-operation", "renaming-column"},
    ),
    "a renamed table": (
        migrations.RenameModel("DeploymentLog", "Output"),
        {"unsafe-operation", "renaming-table"},
    ),
    "a check in a form of Django's own": (
        AddConstraintNotValid(
            DEPLOYMENT, models.CheckConstraint(condition=Q(gpu__lt=9), name="extra")
        ),
        {"add-constraint-not-valid"},
    ),
    "rows written by one statement": (
        migrations.RunSQL("UPDATE deployments_deployment SET name = ''"),
        {"backfill-at-once"},
    ),
    "rows written in one transaction": (
        migrations.RunPython(backfill),
        {"backfill-in-one-transaction"},
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_migration_that_hurts_is_refused(kind: str, linter: ModuleType) -> None:
    operation, expected = BAD[kind]
    assert expected <= rules(linter, operation)


def test_rows_are_not_written_by_the_migration_that_changes_the_schema(linter: ModuleType) -> None:
    operations = (add(models.TextField(null=True)), migrations.RunPython(backfill))
    assert rules(linter, *operations, atomic=False) == {"backfill-beside-schema"}


GOOD = {
    "a nullable column": add(models.TextField(null=True)),
    "a column with a default of the database": add(models.TextField(default="", db_default="")),
    "a column whose default is the transaction": migrations.RunSQL(
        "ALTER TABLE deployments_deployment ADD COLUMN extra xid8"
        " DEFAULT pg_current_xact_id() NOT NULL"
    ),
    "a check after the column": AddFieldThenCheck(
        DEPLOYMENT, "extra", models.PositiveIntegerField(default=0, db_default=0)
    ),
    "a trigger": migrations.RunSQL(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        "CREATE TRIGGER note BEFORE UPDATE ON deployments_deployment"
        " FOR EACH ROW EXECUTE FUNCTION note()"
    ),
    "a table with a foreign key": migrations.CreateModel(
        "Timer",
        [
            ("id", models.BigAutoField(primary_key=True)),
            ("at", models.DateTimeField(db_index=True)),
            ("deployment", models.ForeignKey("deployments.Deployment", models.CASCADE)),
        ],
    ),
    "an index": migrations.AddIndex(DEPLOYMENT, models.Index(fields=["name"], name="by_name")),
    "an index of Django's own kind": AddIndexConcurrently(
        DEPLOYMENT, models.Index(fields=["name"], name="by_name")
    ),
    "an index that goes": migrations.RemoveIndex(DEPLOYMENT, "deployment_due"),
    "a unique constraint": migrations.AddConstraint(
        DEPLOYMENT, models.UniqueConstraint(fields=["name"], name="extra")
    ),
    "a check": migrations.AddConstraint(
        DEPLOYMENT, models.CheckConstraint(condition=Q(gpu__lt=9), name="extra")
    ),
    "a field that only the code forgets": migrations.SeparateDatabaseAndState(
        state_operations=[migrations.RemoveField(DEPLOYMENT, "readiness")]
    ),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_migration_that_hurts_nobody_passes(kind: str, linter: ModuleType) -> None:
    assert rules(linter, GOOD[kind], atomic=False) == set()


def test_a_foreign_key_that_django_makes_anew_is_not_taken_for_a_dropped_one(
    linter: ModuleType,
) -> None:
    """Only the NULL is refused, which the version before may read."""
    key = models.ForeignKey("clusters.Cluster", models.CASCADE, null=True)
    operation = migrations.AlterField("WaitReason", "cluster", key)
    assert rules(linter, operation) == {"ban-drop-not-null"}


def test_rows_may_be_written_in_batches(linter: ModuleType) -> None:
    assert rules(linter, migrations.RunPython(backfill), atomic=False) == set()


def test_each_change_that_locks_a_table_gives_up_soon(linter: ModuleType) -> None:
    migration = sample(add(models.TextField(null=True)))
    with linter.connection.schema_editor(collect_sql=True) as editor:
        migration.apply(MigrationLoader(None).project_state(), editor, collect_sql=True)
    statements = [each for each in editor.collected_sql if not each.startswith("--")]
    assert statements[0] == "SET lock_timeout TO '2s';"
    assert statements[1].startswith('ALTER TABLE "deployments_deployment" ADD COLUMN')


def test_the_migrations_since_the_last_version_pass(
    linter: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert linter.main() == 0, capsys.readouterr().out
