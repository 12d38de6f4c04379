from django.db import migrations, models

from mlops_platform.database.migrations import AddFieldThenCheck


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0007_quotas"),
    ]

    operations = [
        AddFieldThenCheck(
            model_name="cluster",
            name="max_queued",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        AddFieldThenCheck(
            model_name="cluster",
            name="max_queued_per_user",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
    ]
