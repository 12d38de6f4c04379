"""Seals the values of `env` that rows of earlier versions have in clear text, in batches.

Web processes and workers of the earlier version may still run. What they insert meanwhile is sealed
by the next `manage.py rotate_credentials`; both forms can be read.
"""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import connection, migrations, models, transaction
from django.db.migrations.state import StateApps
from psycopg2.extras import Json, execute_values

from deployments import env

BATCH = 500
_UPDATE = """
UPDATE deployments_deployment d SET env = v.env::jsonb
  FROM (VALUES %s) AS v (id, env) WHERE d.id = v.id::uuid
"""


def seal(apps: StateApps, schema_editor: Any) -> None:
    _rewrite(apps, env.sealed, "object")


def unseal(apps: StateApps, schema_editor: Any) -> None:
    _rewrite(apps, env.unsealed, "array")


def _rewrite(apps: StateApps, change: Callable[[Any], Any], form: str) -> None:
    """Rewrites the columns of this JSON type, until none is left.

    Each batch of rows is one transaction and waits for no lock: with a cycle, which locks rows in
    another order, that could be a deadlock. Rows left out so have their turn afterwards.
    """
    rows = apps.get_model("deployments", "Deployment").objects.annotate(
        form=models.Func("env", function="jsonb_typeof", output_field=models.TextField())
    )
    rows = rows.filter(form=form).only("env").order_by("pk")
    while rows.exists():
        last = UUID(int=0)
        while last is not None:
            last = _rewrite_batch(rows.filter(pk__gt=last), change)
        time.sleep(0.05)


@transaction.atomic
def _rewrite_batch(rows: Any, change: Callable[[Any], Any]) -> UUID | None:
    """The last row's id; None where no row is left."""
    batch = list(rows.select_for_update(no_key=True, skip_locked=True)[:BATCH])
    with connection.cursor() as cursor:  # bulk_update would build a CASE of all rows
        values = [(row.pk, Json(change(row.env))) for row in batch]
        execute_values(cursor.cursor, _UPDATE, values, page_size=BATCH)
    return batch[-1].pk if batch else None


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("deployments", "0007_ready_of_owner")]

    operations = [
        migrations.AlterField(
            model_name="deployment",
            name="env",
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.RunPython(seal, unseal),
    ]
