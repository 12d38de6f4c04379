"""Deployments: no update of the status is HOT, for the status stands in indexes and in the conditions
of others. Each leaves an entry in the partial indexes of the queue, through which cycles read until
a vacuum has removed it; at the default of a fifth of the table, that would be after 100,000 updates
of 500,000 rows. Statistics are renewed as soon, for the few rows that wait or run are what plans
depend on.

Events are only added: a vacuum marks their pages as visible to all and frozen, so that no later one
has to read millions of rows at once. Allowances and wait reasons are counters: no index has what
changes in them, so their updates are HOT where the page has room."""

from django.db import migrations

from mlops_platform.database.migrations import storage


class Migration(migrations.Migration):
    dependencies = [("deployments", "0012_drop_covered_indexes")]

    operations = [
        storage(
            "deployments_deployment",
            "autovacuum_vacuum_scale_factor = 0.01",
            "autovacuum_vacuum_threshold = 1000",
            "autovacuum_vacuum_insert_scale_factor = 0.02",
            "autovacuum_analyze_scale_factor = 0.01",
            "autovacuum_analyze_threshold = 1000",
        ),
        storage(
            "deployments_deploymentevent",
            "autovacuum_vacuum_scale_factor = 0.02",
            "autovacuum_vacuum_insert_scale_factor = 0.02",
            "autovacuum_analyze_scale_factor = 0.05",
        ),
        storage(
            "deployments_queueallowance",
            "fillfactor = 50",
            "autovacuum_vacuum_scale_factor = 0",
            "autovacuum_vacuum_threshold = 500",
            "autovacuum_vacuum_cost_delay = 0",
        ),
        storage(
            "deployments_waitreason",
            "fillfactor = 70",
            "autovacuum_vacuum_scale_factor = 0.05",
            "autovacuum_vacuum_threshold = 500",
            "autovacuum_vacuum_cost_delay = 0",
        ),
    ]
