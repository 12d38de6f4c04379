from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0012_table_storage"),
        ("scheduler", "0009_drop_pattern_indexes"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="schedulingcycle",
            index=models.Index(
                condition=models.Q(("evicted_count__gt", 0)),
                fields=["-id"],
                name="cycle_with_evictions",
            ),
        ),
        migrations.AddIndex(
            model_name="schedulingcycle",
            index=models.Index(fields=["trigger", "-id"], name="cycle_by_trigger"),
        ),
    ]
