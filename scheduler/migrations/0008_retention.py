from django.db import migrations, models

from mlops_platform.api.migrations import drop_index


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("scheduler", "0007_next_cycle"),
    ]

    operations = [
        migrations.CreateModel(
            name="Retention",
            fields=[
                ("kind", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("ran_at", models.DateTimeField(null=True)),
                (
                    "finished_at",
                    models.DateTimeField(help_text="When nothing was left to delete.", null=True),
                ),
                ("deleted", models.BigIntegerField(default=0)),
            ],
            options={
                "verbose_name_plural": "retention",
            },
        ),
        # Of patterns, which no query uses.
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
