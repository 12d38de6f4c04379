from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0007_quotas"),
    ]

    operations = [
        migrations.AddField(
            model_name="cluster",
            name="max_queued",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="cluster",
            name="max_queued_per_user",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
    ]
