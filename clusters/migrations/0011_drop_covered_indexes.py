"""Drops indexes whose columns lead another index of the table, and those for LIKE, which no query
uses. Each update that is not HOT writes into every index."""

import django.db.models.deletion
from django.db import migrations, models

from mlops_platform.database.migrations import drop_index


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("clusters", "0010_database_defaults"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="node",
                    name="cluster",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="nodes",
                        to="clusters.cluster",
                    ),
                ),
                migrations.AlterField(
                    model_name="quota",
                    name="cluster",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="quotas",
                        to="clusters.cluster",
                    ),
                ),
                migrations.AlterField(
                    model_name="registry",
                    name="cluster",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="registries",
                        to="clusters.cluster",
                    ),
                ),
            ]
        ),
        drop_index("clusters_node_cluster_id_da46f92d", "clusters_node", "cluster_id"),
        drop_index("clusters_quota_cluster_id_3b302fdf", "clusters_quota", "cluster_id"),
        drop_index("clusters_registry_cluster_id_d985546f", "clusters_registry", "cluster_id"),
    ]
