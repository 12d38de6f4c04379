from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("clusters", "0019_low_share_percent")]

    operations = [
        migrations.AddField(
            model_name="node",
            name="failed_starts",
            field=models.JSONField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="node",
            name="judged",
            field=models.CharField(
                choices=[
                    ("READY", "Ready"),
                    ("CORDONED", "Cordoned"),
                    ("DRAINING", "Draining"),
                    ("NOT_READY", "Not Ready"),
                ],
                db_default="READY",
                default="READY",
                editable=False,
                max_length=10,
            ),
        ),
    ]
