"""How full clusters were, minute by minute."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("clusters", "0031_state_change"), ("scheduler", "0016_home")]

    operations = [
        migrations.CreateModel(
            name="ClusterSample",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                ("total_cpu_milli", models.BigIntegerField()),
                ("total_ram_mib", models.BigIntegerField()),
                ("total_gpu", models.IntegerField()),
                ("allocated_cpu_milli", models.BigIntegerField()),
                ("allocated_ram_mib", models.BigIntegerField()),
                ("allocated_gpu", models.IntegerField()),
                ("closed_cpu_milli", models.BigIntegerField()),
                ("closed_ram_mib", models.BigIntegerField()),
                ("closed_gpu", models.IntegerField()),
                ("waiting", models.IntegerField()),
                ("running", models.IntegerField()),
                ("waiting_by_priority", models.JSONField(default=dict)),
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
                "indexes": [models.Index(fields=["at"], name="sample_by_age")],
                "constraints": [
                    models.UniqueConstraint(fields=("cluster", "at"), name="one_sample_a_minute")
                ],
            },
        ),
    ]
