"""The indexes of lists. They lead with the foreign keys, whose own indexes the next migration
drops."""

from django.db import migrations, models
from django.db.models.functions import Collate


class Migration(migrations.Migration):
    dependencies = [("deployments", "0010_database_defaults")]

    operations = [
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                fields=["priority_class", "cluster", "status", "id"], name="deployment_by_priority"
            ),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                fields=["owner", "cluster", "status", "priority_class", "id"],
                name="deployment_by_owner",
            ),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                models.F("cluster"), Collate("name", "C"), models.F("id"), name="deployment_by_name"
            ),
        ),
    ]
