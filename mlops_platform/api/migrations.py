"""Operations of migrations that Django has not in a form that is safe on a live table."""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import AddField
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
