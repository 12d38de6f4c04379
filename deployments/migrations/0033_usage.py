import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.comparison
from django.db import migrations, models

# What runs now. Of what ended before, nothing is known.
_BACKFILL = """
INSERT INTO deployments_allocationinterval
       (organization_id, cluster_id, cluster, deployment_id, deployment, attempt, user_id, username,
        priority_class, labels, node_id, node, node_labels, replicas, cpu_milli, ram_mib, gpu,
        queued_ms, begin_ms, outcome)
SELECT c.organization_id, c.id, c.name, d.id, d.name, d.attempt, u.id, u.username, p.name, d.labels,
       (part.each ->> 'node_id')::uuid, coalesce(part.each ->> 'node', ''),
       coalesce(n.labels, '{}'), part.replicas, d.cpu_milli * part.replicas,
       d.ram_mib * part.replicas, d.gpu * part.replicas,
       CASE part.number WHEN 1
           THEN least(floor(extract(epoch FROM d.queued_at) * 1000)::bigint, begin.ms) END,
       begin.ms, ''
  FROM deployments_deployment d
  JOIN clusters_cluster c ON c.id = d.cluster_id AND c.deleted_at IS NULL
  JOIN accounts_user u ON u.id = d.owner_id
  JOIN deployments_priorityclass p ON p.id = d.priority_class_id
 CROSS JOIN LATERAL (
       SELECT each, number, (each ->> 'replicas')::bigint AS replicas
         FROM jsonb_array_elements(d.placement) WITH ORDINALITY AS line(each, number)) part
 CROSS JOIN LATERAL (
       SELECT floor(extract(epoch FROM coalesce(d.admitted_at, d.started_at, d.queued_at)) * 1000)
              ::bigint AS ms) begin
  LEFT JOIN clusters_node n ON n.id = (part.each ->> 'node_id')::uuid
 WHERE d.status IN ('STARTING', 'RUNNING', 'STOPPING') AND NOT d.yielded
"""


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0032_sweeps"),
        ("organizations", "0007_service_accounts"),
    ]

    operations = [
        migrations.CreateModel(
            name="AllocationInterval",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("organization_id", models.UUIDField()),
                ("cluster_id", models.UUIDField()),
                ("cluster", models.CharField(max_length=100)),
                ("user_id", models.UUIDField()),
                ("username", models.CharField(max_length=150)),
                ("priority_class", models.CharField(max_length=20)),
                ("deployment_id", models.UUIDField()),
                ("deployment", models.CharField(max_length=100)),
                ("attempt", models.PositiveIntegerField()),
                ("labels", models.JSONField(blank=True, default=dict)),
                ("node_id", models.UUIDField(blank=True, null=True)),
                ("node", models.CharField(blank=True, max_length=100)),
                ("node_labels", models.JSONField(blank=True, default=dict)),
                ("replicas", models.PositiveIntegerField()),
                ("cpu_milli", models.BigIntegerField()),
                ("ram_mib", models.BigIntegerField()),
                ("gpu", models.BigIntegerField()),
                ("queued_ms", models.BigIntegerField(blank=True, null=True)),
                ("begin_ms", models.BigIntegerField()),
                ("end_ms", models.BigIntegerField(blank=True, null=True)),
                ("lost_ms", models.BigIntegerField(blank=True, null=True)),
                (
                    "outcome",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("evicted", "Evicted"),
                            ("stopped", "Stopped"),
                            ("lost", "Lost"),
                        ],
                        default="",
                        max_length=9,
                    ),
                ),
                ("is_summed", models.BooleanField(db_default=False, default=False)),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["deployment_id", "begin_ms"], name="interval_by_deployment"
                    ),
                    models.Index(
                        condition=models.Q(("is_summed", False)),
                        fields=["organization_id", "end_ms"],
                        name="interval_not_summed",
                    ),
                    models.Index(
                        condition=models.Q(("is_summed", True)),
                        fields=["organization_id", "end_ms"],
                        name="interval_summed",
                    ),
                    models.Index(
                        models.F("organization_id"),
                        models.F("end_ms"),
                        condition=models.Q(
                            (
                                "end_ms__gt",
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.functions.comparison.Coalesce(
                                        models.F("queued_ms"), models.F("begin_ms")
                                    ),
                                    "+",
                                    models.Value(86400000),
                                ),
                            ),
                            ("is_summed", True),
                        ),
                        name="interval_longer_than_a_day",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("end_ms__isnull", True),
                                ("is_summed", False),
                                ("lost_ms__isnull", True),
                                ("outcome", ""),
                            ),
                            models.Q(
                                ("end_ms__gte", models.F("begin_ms")),
                                (
                                    "outcome__in",
                                    ["completed", "failed", "evicted", "stopped", "lost"],
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="interval_is_open_or_ended",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("queued_ms__isnull", True),
                                ("queued_ms__lte", models.F("begin_ms")),
                                _connector="OR",
                            ),
                            models.Q(
                                ("lost_ms__isnull", True),
                                ("lost_ms__range", (models.F("begin_ms"), models.F("end_ms"))),
                                _connector="OR",
                            ),
                        ),
                        name="interval_is_in_order",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageOfDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("organization_id", models.UUIDField()),
                ("cluster_id", models.UUIDField()),
                ("cluster", models.CharField(max_length=100)),
                ("user_id", models.UUIDField()),
                ("username", models.CharField(max_length=150)),
                ("priority_class", models.CharField(max_length=20)),
                ("day", models.DateField()),
                ("labels", models.JSONField(blank=True, null=True)),
                ("node_labels", models.JSONField(blank=True, default=dict)),
                ("digest", models.UUIDField(editable=False)),
                ("cpu_milli_ms", models.BigIntegerField()),
                ("ram_mib_ms", models.BigIntegerField()),
                ("gpu_ms", models.BigIntegerField()),
                ("evicted_cpu_milli_ms", models.BigIntegerField()),
                ("evicted_ram_mib_ms", models.BigIntegerField()),
                ("evicted_gpu_ms", models.BigIntegerField()),
                ("failed_cpu_milli_ms", models.BigIntegerField()),
                ("failed_ram_mib_ms", models.BigIntegerField()),
                ("failed_gpu_ms", models.BigIntegerField()),
                ("lost_cpu_milli_ms", models.BigIntegerField()),
                ("lost_ram_mib_ms", models.BigIntegerField()),
                ("lost_gpu_ms", models.BigIntegerField()),
                ("waiting_ms", models.BigIntegerField()),
                ("started", models.BigIntegerField()),
                ("completed", models.BigIntegerField()),
                ("failed", models.BigIntegerField()),
                ("evicted", models.BigIntegerField()),
                ("stopped", models.BigIntegerField()),
                ("lost", models.BigIntegerField()),
            ],
            options={
                "verbose_name_plural": "usage of days",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization_id", "day", "digest"), name="one_usage_of_day"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Price",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("rank", models.PositiveSmallIntegerField()),
                ("label", models.CharField(blank=True, max_length=253)),
                ("value", models.CharField(blank=True, max_length=253)),
                ("gpu_hour", models.DecimalField(decimal_places=6, max_digits=16)),
                ("core_hour", models.DecimalField(decimal_places=6, max_digits=16)),
                ("gib_hour", models.DecimalField(decimal_places=6, max_digits=16)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="prices",
                        to="organizations.organization",
                    ),
                ),
            ],
            options={
                "ordering": ["organization", "rank"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "rank"), name="one_price_of_a_rank"
                    )
                ],
            },
        ),
        migrations.RunSQL(_BACKFILL, migrations.RunSQL.noop),
    ]
