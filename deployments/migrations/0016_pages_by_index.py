from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clusters", "0012_table_storage"),
        ("deployments", "0015_retention"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                condition=models.Q(("status", "COMPLETED"), _negated=True),
                fields=["status", "-id"],
                name="deployment_not_completed",
            ),
        ),
        migrations.AddIndex(
            model_name="deployment",
            index=models.Index(
                condition=models.Q(("kind", "service")), fields=["-id"], name="deployment_services"
            ),
        ),
    ]
