import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0021_room_for_versions"),
        ("deployments", "0027_avoided_node"),
        ("scheduler", "0011_ledger_by_ranges"),
    ]

    operations = [
        migrations.CreateModel(
            name="StartForecast",
            fields=[
                (
                    "deployment",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="deployments.deployment",
                    ),
                ),
                ("made_at", models.DateTimeField()),
                ("basis", models.CharField(max_length=10)),
                ("p50_ms", models.BigIntegerField()),
                ("p90_ms", models.BigIntegerField(null=True)),
                ("raw_p90_ms", models.BigIntegerField(null=True)),
                ("waited_ms", models.BigIntegerField(null=True)),
                (
                    "cluster",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="clusters.cluster",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("waited_ms__isnull", False)),
                        fields=["cluster", "-made_at"],
                        name="forecast_by_outcome",
                    ),
                    models.Index(
                        condition=models.Q(("waited_ms__isnull", True)),
                        fields=["cluster"],
                        name="forecast_open",
                    ),
                    models.Index(fields=["made_at"], name="forecast_by_age"),
                ],
            },
        ),
    ]
