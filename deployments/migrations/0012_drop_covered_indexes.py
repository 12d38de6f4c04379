"""Drops indexes whose columns lead another index of the table, and those for LIKE, which no query
uses. Each update that is not HOT writes into every index.

The index of idempotency keys leaves out rows without a key. Processes of 0.1.0 know a repeated key
by the constraint's name in the error, and the new name contains the old one.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from mlops_platform.database.migrations import drop_index


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("clusters", "0011_drop_covered_indexes"),
        ("deployments", "0011_lists_by_index"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="deploymentevent",
            index=models.Index(
                condition=models.Q(("actor__isnull", False)),
                fields=["actor"],
                name="event_by_actor",
            ),
        ),
        migrations.AddConstraint(
            model_name="deployment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("idempotency_key__isnull", False)),
                fields=("owner", "idempotency_key"),
                name="idempotency_key_unique_if_given",
            ),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="deployment",
                    name="cluster",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deployments",
                        to="clusters.cluster",
                    ),
                ),
                migrations.AlterField(
                    model_name="deployment",
                    name="owner",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                migrations.AlterField(
                    model_name="deployment",
                    name="priority_class",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="deployments.priorityclass",
                    ),
                ),
                migrations.AlterField(
                    model_name="deploymentevent",
                    name="actor",
                    field=models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                migrations.AlterField(
                    model_name="deploymentevent",
                    name="deployment",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="deployments.deployment",
                    ),
                ),
                migrations.AlterField(
                    model_name="deploymentlog",
                    name="deployment",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="kept_logs",
                        to="deployments.deployment",
                    ),
                ),
                migrations.AlterField(
                    model_name="queueallowance",
                    name="cluster",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="clusters.cluster",
                    ),
                ),
                migrations.AlterField(
                    model_name="waitreason",
                    name="cluster",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="wait_reasons",
                        to="clusters.cluster",
                    ),
                ),
            ]
        ),
        drop_index(
            "deployments_deployment_cluster_id_411c5741", "deployments_deployment", "cluster_id"
        ),
        drop_index(
            "deployments_deployment_owner_id_3190c676", "deployments_deployment", "owner_id"
        ),
        drop_index(
            "deployments_deployment_priority_class_id_3f60d54b",
            "deployments_deployment",
            "priority_class_id",
        ),
        drop_index(
            "deployments_deploymentevent_deployment_id_53ddd570",
            "deployments_deploymentevent",
            "deployment_id",
        ),
        drop_index(
            "deployments_deploymentevent_actor_id_a5c19e63",
            "deployments_deploymentevent",
            "actor_id",
        ),
        drop_index(
            "deployments_deploymentlog_deployment_id_62567448",
            "deployments_deploymentlog",
            "deployment_id",
        ),
        drop_index(
            "deployments_queueallowance_cluster_id_12394572",
            "deployments_queueallowance",
            "cluster_id",
        ),
        drop_index(
            "deployments_waitreason_cluster_id_af736639", "deployments_waitreason", "cluster_id"
        ),
        drop_index(
            "deployments_deployment_depends_on_from_deployment_id_e15afb77",
            "deployments_deployment_depends_on",
            "from_deployment_id",
        ),
        drop_index(
            "deployments_priorityclass_name_83d531e8_like",
            "deployments_priorityclass",
            "name varchar_pattern_ops",
        ),
        migrations.RemoveConstraint(
            model_name="deployment",
            name="idempotency_key_unique",
        ),
    ]
