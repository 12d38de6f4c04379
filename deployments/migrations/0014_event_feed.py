import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deployments", "0013_table_storage")]

    operations = [
        migrations.AddField(
            model_name="deploymentevent",
            name="cluster_id",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="deploymentevent",
            name="organization_id",
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="deploymentevent",
            name="transaction_id",
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name="deploymentevent",
            name="deployment",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="events",
                db_index=False,
                to="deployments.deployment",
            ),
        ),
        migrations.AlterField(
            model_name="deploymentevent",
            name="type",
            field=models.CharField(
                choices=[
                    ("SUBMITTED", "Submitted"),
                    ("CHANGED", "Changed"),
                    ("STARTED", "Started"),
                    ("RUNNING", "Running"),
                    ("NOTICE", "Notice"),
                    ("STOPPING", "Stopping"),
                    ("REQUEUED", "Requeued"),
                    ("PREEMPTED", "Preempted"),
                    ("DRAINED", "Drained"),
                    ("CHECKPOINTED", "Checkpointed"),
                    ("COMPLETED", "Completed"),
                    ("FAILED", "Failed"),
                    ("STOPPED", "Stopped"),
                    ("CLUSTER_DELETED", "Cluster Deleted"),
                ],
                max_length=32,
            ),
        ),
        migrations.AddIndex(
            model_name="deploymentevent",
            index=models.Index(
                condition=models.Q(("organization_id__isnull", False)),
                fields=["organization_id", "transaction_id", "id"],
                name="event_by_organization",
            ),
        ),
    ]
