"""Since when an endpoint does not answer, and why a node is closed. Both columns are null or have a
database default, so that the version before this one writes on."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0012_table_storage"),
    ]

    operations = [
        migrations.AddField(
            model_name="endpoint",
            name="away_since",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="node",
            name="observed_reason",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=500
            ),
        ),
    ]
