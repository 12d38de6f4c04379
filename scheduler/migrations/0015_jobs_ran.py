"""When each periodic job last ran. Null until a worker of this version has run it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("scheduler", "0014_forecasts_of_a_cluster")]

    operations = [
        migrations.AddField("periodicjob", "ran_at", models.DateTimeField(null=True)),
    ]
