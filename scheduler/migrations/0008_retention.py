from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("scheduler", "0007_next_cycle"),
    ]

    operations = [
        migrations.CreateModel(
            name="Retention",
            fields=[
                ("kind", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("ran_at", models.DateTimeField(null=True)),
                (
                    "finished_at",
                    models.DateTimeField(help_text="When nothing was left to delete.", null=True),
                ),
                ("deleted", models.BigIntegerField(default=0)),
            ],
            options={
                "verbose_name_plural": "retention",
            },
        ),
    ]
