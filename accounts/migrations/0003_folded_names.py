"""Keeps with each user the name in the form in which names are compared."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_logins"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="folded",
            field=models.CharField(editable=False, max_length=600, null=True, unique=True),
        ),
    ]
