from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("clusters", "0030_sweeps")]

    operations = [
        migrations.AddField(
            model_name="cluster",
            name="state_change",
            field=models.JSONField(editable=False, null=True),
        ),
    ]
