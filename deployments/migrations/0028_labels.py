import django.contrib.postgres.fields
from django.contrib.postgres.indexes import GinIndex
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0027_avoided_node"),
    ]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="labels",
            field=models.JSONField(blank=True, db_default={}, default=dict),
        ),
        migrations.AddField(
            model_name="deployment",
            name="ran_on",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.UUIDField(), blank=True, editable=False, null=True, size=None
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="rerun_of_id",
            field=models.UUIDField(blank=True, editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=GinIndex(
                condition=~Q(labels={}),
                fastupdate=False,
                fields=["labels"],
                name="deployment_by_label",
            ),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=GinIndex(
                condition=Q(ran_on__isnull=False),
                fastupdate=False,
                fields=["ran_on"],
                name="deployment_by_node",
            ),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                condition=Q(reason_code__gt=""),
                fields=["cluster", "reason_code", "id"],
                name="deployment_by_reason",
            ),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                condition=Q(started_at__isnull=False),
                fields=["cluster", "started_at"],
                name="deployment_by_start",
            ),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                condition=Q(finished_at__isnull=False),
                fields=["cluster", "finished_at"],
                name="deployment_by_cluster_end",
            ),
        ),
    ]
