"""The result of the last audit, and the sizes of the database, for the operators' home."""

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("scheduler", "0015_jobs_ran")]

    operations = [
        migrations.CreateModel(
            name="AuditResult",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("ran_at", models.DateTimeField(db_default=Now())),
                ("took_ms", models.PositiveIntegerField()),
                ("breach_count", models.PositiveIntegerField()),
                ("sentences", models.JSONField(default=list)),
            ],
        ),
        migrations.CreateModel(
            name="DatabaseSize",
            fields=[
                ("at", models.DateTimeField(db_default=Now(), primary_key=True, serialize=False)),
                ("size", models.BigIntegerField()),
            ],
        ),
    ]
