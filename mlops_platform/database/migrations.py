"""Operations of migrations that Django has not in a form that is safe on a live table."""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import AddField, RunSQL
from django.db.migrations.state import ProjectState


class AddFieldThenCheck(AddField):
    """Adds a field whose type brings a CHECK constraint, such as PositiveIntegerField.

    Within ADD COLUMN, PostgreSQL proves the constraint on every row while it keeps all readers out.
    Here the column comes first; the constraint, with the name that PostgreSQL would have given it,
    is then added NOT VALID, and proved while reads and writes go on.
    """

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        field: Any = model._meta.get_field(self.name)
        check = field.db_check(schema_editor.connection)
        field.db_check = lambda connection: None
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            del field.db_check
        editor: Any = schema_editor
        name = f"{model._meta.db_table}_{field.column}_check"
        editor.execute(editor._create_check_sql(model, name, check))


def drop_index(name: str, table: str, columns: str) -> RunSQL:
    """Drops an index that Django made by itself, while reads and writes go on.

    AlterField with `db_index=False` would find it by its column, and with it each partial index of
    that column alone. The migration must not be atomic.
    """
    return RunSQL(
        f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"',
        f'CREATE INDEX CONCURRENTLY IF NOT EXISTS "{name}" ON "{table}" ({columns})',
    )


def storage(table: str, *settings: str) -> RunSQL:
    """Sets a table's storage parameters (`name = value` each) while reads and writes go on."""
    names = ", ".join(each.partition(" ")[0] for each in settings)
    return RunSQL(
        f'ALTER TABLE "{table}" SET ({", ".join(settings)})',
        f'ALTER TABLE "{table}" RESET ({names})',
    )
