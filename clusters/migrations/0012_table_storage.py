"""Nearly every cycle updates the counters of a cluster and of some of its nodes. No index has a
counter, so these updates are HOT where the page has room for the next version of the row: half of
each page is left free. The tables are small, so a vacuum of them costs nothing and comes soon."""

from django.db import migrations

from mlops_platform.database.migrations import storage


class Migration(migrations.Migration):
    dependencies = [("clusters", "0011_drop_covered_indexes")]

    operations = [
        storage(
            "clusters_cluster",
            "fillfactor = 50",
            "autovacuum_vacuum_scale_factor = 0",
            "autovacuum_vacuum_threshold = 500",
            "autovacuum_vacuum_cost_delay = 0",
        ),
        storage(
            "clusters_node",
            "fillfactor = 50",
            "autovacuum_vacuum_scale_factor = 0.05",
            "autovacuum_vacuum_threshold = 500",
            "autovacuum_vacuum_cost_delay = 0",
        ),
    ]
