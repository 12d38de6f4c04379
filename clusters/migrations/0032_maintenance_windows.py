"""Maintenance windows, and for how long what has no time limit counts as running before one."""

import django.db.models.deletion
import django.utils.timezone
import uuid_utils.compat
from django.db import migrations, models

from mlops_platform.database.migrations import AddFieldThenCheck

_MODES = [
    ("cordon", "They run on"),
    ("when_finished", "The nodes are drained: they run to their ends"),
    ("at_checkpoint", "Drained: each leaves at its next checkpoint"),
    ("now", "Drained: they are evicted"),
]


class Migration(migrations.Migration):
    dependencies = [("clusters", "0031_state_change")]

    operations = [
        AddFieldThenCheck(
            model_name="cluster",
            name="assumed_runtime_s",
            field=models.PositiveIntegerField(db_default=14400, default=14400),
        ),
        migrations.AddField(
            model_name="cluster",
            name="has_windows",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.CreateModel(
            name="MaintenanceWindow",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid_utils.compat.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("reason", models.CharField(max_length=200)),
                ("mode", models.CharField(choices=_MODES, max_length=14)),
                ("begins_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                ("node_names", models.JSONField(blank=True, default=list)),
                ("node_selector", models.JSONField(blank=True, default=dict)),
                (
                    "state",
                    models.CharField(
                        choices=[("PLANNED", "Planned"), ("OPEN", "Open"), ("ENDED", "Ended")],
                        default="PLANNED",
                        editable=False,
                        max_length=8,
                    ),
                ),
                ("next_at", models.DateTimeField(editable=False, null=True)),
                (
                    "created_by",
                    models.CharField(blank=True, default="", editable=False, max_length=150),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False),
                ),
                (
                    "cluster",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="windows",
                        to="clusters.cluster",
                    ),
                ),
                (
                    "nodes",
                    models.ManyToManyField(
                        editable=False, related_name="windows", to="clusters.node"
                    ),
                ),
            ],
            options={
                "verbose_name": "maintenance window",
                "indexes": [
                    models.Index(
                        condition=models.Q(("next_at__isnull", False)),
                        fields=["next_at"],
                        name="window_next_at",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("begins_at"))),
                        name="window_ends_after_its_begin",
                    )
                ],
            },
        ),
    ]
