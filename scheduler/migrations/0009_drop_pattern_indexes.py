"""Drops what Django adds to names that are keys: indexes of patterns, which no query uses."""

from django.db import migrations

from mlops_platform.database.migrations import drop_index


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("scheduler", "0008_retention")]

    operations = [
        drop_index(
            "scheduler_retention_kind_87d40dd0_like",
            "scheduler_retention",
            "kind varchar_pattern_ops",
        ),
        drop_index(
            "scheduler_periodicjob_name_c86acee8_like",
            "scheduler_periodicjob",
            "name varchar_pattern_ops",
        ),
    ]
