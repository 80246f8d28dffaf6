"""A model version is written once."""

from django.db import migrations

FREEZE = """
CREATE TRIGGER modelversion_frozen BEFORE UPDATE ON models_app_modelversion
    FOR EACH ROW EXECUTE FUNCTION core_frozen_row();
"""


class Migration(migrations.Migration):
    dependencies = [("models_app", "0001_initial"), ("core", "0002_audit_chain")]
    operations = [migrations.RunSQL(FREEZE, "DROP TRIGGER modelversion_frozen ON models_app_modelversion")]
