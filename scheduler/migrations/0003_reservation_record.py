"""The table's rows stay: a waiting deployment keeps the time for which capacity was reserved."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduler", "0002_held_for")]

    operations = [migrations.RenameModel(old_name="HeldFor", new_name="ReservationRecord")]
