"""A run says what it is for; a check may leave out bad rows."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0002_audit_chain'),
        ('models_app', '0002_frozen_versions'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveField(
            model_name='trainingrun',
            name='is_baseline',
        ),
        migrations.AddField(
            model_name='datasetversion',
            name='leave_out_bad_rows',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='trainingrun',
            name='recipe_of',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='models_app.modelversion'),
        ),
        migrations.AddField(
            model_name='trainingrun',
            name='role',
            field=models.CharField(choices=[('candidate', 'Candidate'), ('baseline', 'Baseline'), ('champion', 'Champion')], default='candidate', max_length=10),
        ),
        migrations.AddConstraint(
            model_name='trainingrun',
            constraint=models.UniqueConstraint(condition=models.Q(('role', 'candidate'), _negated=True), fields=('group', 'role'), name='one_baseline_and_champion_a_group'),
        ),
    ]
