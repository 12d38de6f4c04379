from django.contrib.postgres.indexes import GinIndex
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0021_runtime_milliseconds"),
    ]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="secrets",
            field=models.JSONField(blank=True, db_default=[], default=list),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=GinIndex(
                condition=~Q(secrets=[])
                & Q(status__in=("QUEUED", "STARTING", "RUNNING", "STOPPING")),
                fields=["secrets"],
                name="deployment_with_secrets",
                opclasses=["jsonb_path_ops"],
            ),
        ),
    ]
