"""The address that a user has proved to be theirs."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_api_keys"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="verified_email",
            field=models.CharField(editable=False, max_length=254, null=True, unique=True),
        ),
    ]
