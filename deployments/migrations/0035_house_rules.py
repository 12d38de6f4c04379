"""The house rules of organizations."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0034_events_of_requests"),
        ("organizations", "0009_groups"),
    ]

    operations = [
        migrations.CreateModel(
            name="HouseRules",
            fields=[
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="house_rules",
                        serialize=False,
                        to="organizations.organization",
                    ),
                ),
                (
                    "stop",
                    models.CharField(
                        choices=[("own", "Own"), ("all", "All")], default="all", max_length=3
                    ),
                ),
                ("confirm_evictions", models.BooleanField(default=False)),
                ("restricted", models.JSONField(blank=True, default=list)),
                ("max_cpu_milli", models.BigIntegerField(blank=True, null=True)),
                ("max_ram_mib", models.BigIntegerField(blank=True, null=True)),
                ("max_gpu", models.IntegerField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "house rules",
                "verbose_name_plural": "house rules",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("stop__in", ["own", "all"])), name="known_stop"
                    )
                ],
            },
        ),
    ]
