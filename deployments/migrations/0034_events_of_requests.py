from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0033_usage"),
    ]

    operations = [
        migrations.AddField(
            model_name="deploymentevent",
            name="actor_kind",
            field=models.CharField(editable=False, max_length=8, null=True),
        ),
        migrations.AddField(
            model_name="deploymentevent",
            name="request_id",
            field=models.CharField(editable=False, max_length=64, null=True),
        ),
    ]
