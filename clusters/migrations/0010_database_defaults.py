"""Gives databases that ran a development version the defaults that 0002 to 0007 have by now."""

from django.db import migrations

DEFAULTS = {
    "clusters_cluster": {
        "placement": "'binpack'",
        "node_lost_after_s": "300",
        "has_quotas": "false",
    },
    "clusters_node": {"observed": "'READY'", "discovered": "'[]'"},
}


def set_defaults(table: str) -> str:
    changes = (f"ALTER {column} SET DEFAULT {value}" for column, value in DEFAULTS[table].items())
    return f"ALTER TABLE {table} {', '.join(changes)}"


class Migration(migrations.Migration):
    dependencies = [("clusters", "0009_deleted_at")]

    operations = [
        migrations.RunSQL(set_defaults(table), migrations.RunSQL.noop) for table in DEFAULTS
    ]
