"""Cycles are added, and deleted by the retention. Snapshots lie in the TOAST table: what a deletion
frees there is used again once it is vacuumed, so that comes sooner than at a fifth of the table."""

from django.db import migrations

from mlops_platform.database.migrations import storage


class Migration(migrations.Migration):
    dependencies = [("scheduler", "0004_drop_covered_indexes")]

    operations = [
        storage(
            "scheduler_schedulingcycle",
            "autovacuum_vacuum_scale_factor = 0.05",
            "autovacuum_vacuum_insert_scale_factor = 0.05",
            "toast.autovacuum_vacuum_scale_factor = 0.05",
        ),
    ]
