import django.core.serializers.json
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("organizations", "0009_groups"),
    ]

    operations = [
        migrations.CreateModel(
            name="OrganizationEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("organization_id", models.UUIDField(editable=False, null=True)),
                ("transaction_id", models.BigIntegerField(editable=False)),
                ("at", models.DateTimeField(editable=False)),
                ("type", models.CharField(editable=False, max_length=32)),
                ("actor_kind", models.CharField(editable=False, max_length=8)),
                ("actor_id", models.UUIDField(editable=False, null=True)),
                ("actor_name", models.CharField(editable=False, max_length=150, null=True)),
                ("api_key", models.CharField(editable=False, max_length=63, null=True)),
                ("request_id", models.CharField(editable=False, max_length=64, null=True)),
                ("cycle_id", models.UUIDField(editable=False, null=True)),
                ("cluster_id", models.UUIDField(editable=False, null=True)),
                ("target_type", models.CharField(editable=False, max_length=14)),
                ("target_id", models.CharField(editable=False, max_length=40, null=True)),
                ("target_name", models.CharField(editable=False, max_length=512)),
                (
                    "before",
                    models.JSONField(
                        editable=False,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        null=True,
                    ),
                ),
                (
                    "after",
                    models.JSONField(
                        editable=False,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        null=True,
                    ),
                ),
            ],
            options={
                "verbose_name": "event",
                "indexes": [
                    models.Index(
                        fields=["organization_id", "transaction_id", "id"],
                        name="organization_event",
                    )
                ],
            },
        ),
    ]
