"""The model has another name; the table keeps its own, so that processes of the version before go on
working while an upgrade, or a rollback, is under way."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduler", "0002_held_for")]

    operations = [
        migrations.AlterModelTable(name="heldfor", table="scheduler_heldfor"),
        migrations.RenameModel(old_name="HeldFor", new_name="ReservationRecord"),
    ]
