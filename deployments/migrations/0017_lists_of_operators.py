"""Indexes by which operators' lists are narrowed by any of their filters together, in place of three
that serve one each. The kind stands in the index of lists, so that it is found without the rows."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0012_table_storage"),
        ("deployments", "0016_pages_by_index"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                condition=models.Q(("kind", "service")),
                fields=["cluster", "status", "priority_class", "id"],
                name="service_by_cluster",
            ),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                fields=["priority_class", "cluster", "status", "id"],
                include=("kind",),
                name="deployment_by_class",
            ),
        ),
        migrations.RemoveIndex(model_name="deployment", name="deployment_by_priority"),
        migrations.RemoveIndex(model_name="deployment", name="deployment_not_completed"),
        migrations.RemoveIndex(model_name="deployment", name="deployment_services"),
    ]
