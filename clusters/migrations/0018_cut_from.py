from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("clusters", "0017_preemption_delay_s")]

    operations = [
        migrations.AddField(
            model_name="node",
            name="cut_from",
            field=models.JSONField(blank=True, editable=False, null=True),
        ),
    ]
