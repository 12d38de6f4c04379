"""Indexes of ids, by which any two filters of the operators' ledger read ranges of an index alone."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0016_volumes"),
        ("scheduler", "0010_pages_by_index"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="schedulingcycle",
            index=models.Index(
                fields=["trigger", "-id"], include=("evicted_count",), name="cycle_of_trigger"
            ),
        ),
        migrations.AddIndex(
            model_name="schedulingcycle",
            index=models.Index(
                fields=["cluster", "trigger", "-id"],
                include=("evicted_count",),
                name="cycle_of_cluster",
            ),
        ),
        migrations.AddIndex(
            model_name="schedulingcycle",
            index=models.Index(
                condition=models.Q(("evicted_count__gt", 0)),
                fields=["trigger", "-id"],
                name="evicting_cycle_of_trigger",
            ),
        ),
        migrations.AddIndex(
            model_name="schedulingcycle",
            index=models.Index(
                condition=models.Q(("evicted_count__gt", 0)),
                fields=["cluster", "trigger", "-id"],
                name="evicting_cycle_of_cluster",
            ),
        ),
        migrations.RemoveIndex(
            model_name="schedulingcycle",
            name="cycle_with_evictions",
        ),
        migrations.RemoveIndex(
            model_name="schedulingcycle",
            name="cycle_by_trigger",
        ),
    ]
