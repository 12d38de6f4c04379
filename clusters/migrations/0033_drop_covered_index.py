"""Drops an index that the unique one of both columns covers. Each insert writes into every index."""

from django.db import migrations

from mlops_platform.database.migrations import drop_index


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("clusters", "0032_maintenance_windows")]

    operations = [
        drop_index(
            "clusters_maintenancewindow_nodes_maintenancewindow_id_4d324aa3",
            "clusters_maintenancewindow_nodes",
            "maintenancewindow_id",
        ),
    ]
