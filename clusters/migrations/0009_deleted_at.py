from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0008_queue_limits"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="cluster",
            name="cluster_name_unique",
        ),
        migrations.AddField(
            model_name="cluster",
            name="deleted_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddConstraint(
            model_name="cluster",
            constraint=models.UniqueConstraint(
                condition=models.Q(("deleted_at", None)),
                fields=("organization", "name"),
                name="cluster_name_unique",
            ),
        ),
    ]
