"""One index for all forecasts of a cluster, also for its foreign key: the deletion of a cluster read
the whole table. The table is as new as the index."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduler", "0013_impossible")]

    operations = [
        migrations.RemoveIndex("startforecast", "forecast_open"),
        migrations.AddIndex(
            "startforecast", models.Index(fields=["cluster", "waited_ms"], name="forecast_open")
        ),
    ]
