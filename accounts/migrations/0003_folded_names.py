"""Keeps with each user the name in the form in which names are compared.

The column is null until it is filled, and stays null for a user of a version before this one, and
for the later one of two users whose names are the same by now.
"""

import unicodedata

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

BATCH = 1000


def fill(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    users = apps.get_model("accounts", "User").objects
    taken, batch = set(), []
    for user in users.filter(folded=None).only("username").order_by("pk").iterator(BATCH):
        name = unicodedata.normalize("NFKC", user.username).casefold()
        user.folded = unicodedata.normalize("NFKC", name)
        if user.folded not in taken:
            taken.add(user.folded)
            batch.append(user)
        if len(batch) == BATCH:
            users.bulk_update(batch, ["folded"])
            batch = []
    users.bulk_update(batch, ["folded"])


class Migration(migrations.Migration):
    atomic = False  # no lock of the table while rows are filled

    dependencies = [
        ("accounts", "0002_logins"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="folded",
            field=models.CharField(editable=False, max_length=600, null=True, unique=True),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
