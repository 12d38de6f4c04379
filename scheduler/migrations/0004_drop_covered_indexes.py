"""Drops indexes whose columns lead another index of the table, and those for LIKE, which no query
uses. Each update that is not HOT writes into every index."""

import django.db.models.deletion
from django.db import migrations, models

from mlops_platform.database.migrations import drop_index


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("clusters", "0011_drop_covered_indexes"),
        ("scheduler", "0003_reservation_record"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="schedulingcycle",
                    name="cluster",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="cycles",
                        to="clusters.cluster",
                    ),
                ),
            ]
        ),
        drop_index(
            "scheduler_schedulingcycle_cluster_id_6ad5e9fd",
            "scheduler_schedulingcycle",
            "cluster_id",
        ),
    ]
