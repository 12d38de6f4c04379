"""The two priority classes that always exist; operators add more in the admin."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

CLASSES = {"LOW": (0, False), "HIGH": (1000, True)}


def create(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    priority_class = apps.get_model("deployments", "PriorityClass")
    for name, (value, may_preempt) in CLASSES.items():
        priority_class.objects.get_or_create(
            name=name, defaults={"value": value, "may_preempt": may_preempt, "preemptible": True}
        )


class Migration(migrations.Migration):
    dependencies = [("deployments", "0001_initial")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
