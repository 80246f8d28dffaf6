"""What no code path may get around: four eyes, and releases written once."""

from django.db import migrations

GUARDS = """
CREATE FUNCTION deployments_four_eyes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE asked deployments_app_promotion;
BEGIN
    IF NEW.verdict = 'comment' THEN RETURN NEW; END IF;
    SELECT * INTO asked FROM deployments_app_promotion WHERE id = NEW.promotion_id;
    IF asked.requested_by_id = NEW.reviewer_id AND NEW.verdict = 'approve' THEN
        RAISE EXCEPTION 'four eyes: the requester may not approve' USING ERRCODE = 'check_violation';
    END IF;
    IF asked.artifact_digest <> NEW.artifact_digest OR asked.evidence_sha256 <> NEW.evidence_sha256 THEN
        RAISE EXCEPTION 'a review is bound to what was asked' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER review_four_eyes BEFORE INSERT OR UPDATE ON deployments_app_review
    FOR EACH ROW EXECUTE FUNCTION deployments_four_eyes();

-- The request's substance never changes once it is asked; only its status does.
CREATE FUNCTION deployments_frozen_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.requested_by_id, NEW.deployment_id, NEW.model_version_id, NEW.artifact_digest, NEW.evidence_sha256, NEW.plan, NEW.evidence)
       IS DISTINCT FROM
       (OLD.requested_by_id, OLD.deployment_id, OLD.model_version_id, OLD.artifact_digest, OLD.evidence_sha256, OLD.plan, OLD.evidence)
    THEN RAISE EXCEPTION 'a promotion request is frozen once it is asked'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER promotion_frozen BEFORE UPDATE ON deployments_app_promotion
    FOR EACH ROW EXECUTE FUNCTION deployments_frozen_request();

CREATE TRIGGER release_frozen BEFORE UPDATE ON deployments_app_release
    FOR EACH ROW EXECUTE FUNCTION core_frozen_row();
"""

UNDO = """
DROP TRIGGER release_frozen ON deployments_app_release;
DROP TRIGGER promotion_frozen ON deployments_app_promotion;
DROP FUNCTION deployments_frozen_request();
DROP TRIGGER review_four_eyes ON deployments_app_review;
DROP FUNCTION deployments_four_eyes();
"""


class Migration(migrations.Migration):
    dependencies = [("deployments_app", "0001_initial"), ("core", "0002_audit_chain")]
    operations = [migrations.RunSQL(GUARDS, UNDO)]
