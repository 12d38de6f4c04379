"""No statement: how the column is read."""

from django.db import migrations, models

from mlops_platform.database.unreadable_json import DetailsDecoder


class Migration(migrations.Migration):
    dependencies = [("deployments", "0018_container")]

    operations = [
        migrations.AlterField(
            model_name="deploymentevent",
            name="details",
            field=models.JSONField(blank=True, decoder=DetailsDecoder, default=dict),
        ),
    ]
