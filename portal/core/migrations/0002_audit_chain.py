"""The audit chain lives in the database: append-only, numbered and hashed at commit."""

from django.db import migrations

CHAIN = """
CREATE FUNCTION core_event_digest(e core_event) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(sha256(convert_to(jsonb_build_array(
        e.shop_id, e.seq, e.prev_hash, e.id, e.verb, e.actor_kind, e.actor_id, e.actor_label,
        e.object_type, e.object_id, e.object_label, e.from_status, e.to_status, e.reason, e.data,
        e.request_id, extract(epoch FROM e.created_at)
    )::text, 'UTF8')), 'hex')
$$;

-- Runs when the transaction commits: by then every row lock is taken, so one lock a shop cannot deadlock,
-- and the order of the chain is the order of the commits.
CREATE FUNCTION core_event_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE last core_event; me core_event;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('core_event:' || NEW.shop_id, 0));
    SELECT * INTO last FROM core_event WHERE shop_id = NEW.shop_id AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1;
    SELECT * INTO me FROM core_event WHERE id = NEW.id;
    me.seq := coalesce(last.seq, 0) + 1;
    me.prev_hash := coalesce(last.hash, '');
    UPDATE core_event SET seq = me.seq, prev_hash = me.prev_hash, hash = core_event_digest(me) WHERE id = NEW.id;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER core_event_chain AFTER INSERT ON core_event
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION core_event_chain();

CREATE FUNCTION core_event_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.seq := NULL; NEW.prev_hash := ''; NEW.hash := '';
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.seq IS NULL AND NEW.seq IS NOT NULL AND pg_trigger_depth() > 1 THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'core_event is append-only';
END $$;

CREATE TRIGGER core_event_append_only BEFORE INSERT OR UPDATE OR DELETE ON core_event
    FOR EACH ROW EXECUTE FUNCTION core_event_append_only();
CREATE TRIGGER core_event_no_truncate BEFORE TRUNCATE ON core_event
    FOR EACH STATEMENT EXECUTE FUNCTION core_event_append_only();

CREATE FUNCTION core_frozen_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% rows are written once', TG_TABLE_NAME;
END $$;
"""

UNDO = """
DROP FUNCTION core_frozen_row();
DROP TRIGGER core_event_no_truncate ON core_event;
DROP TRIGGER core_event_append_only ON core_event;
DROP FUNCTION core_event_append_only();
DROP TRIGGER core_event_chain ON core_event;
DROP FUNCTION core_event_chain();
DROP FUNCTION core_event_digest(core_event);
"""


class Migration(migrations.Migration):
    dependencies = [("core", "0001_initial")]
    operations = [migrations.RunSQL(CHAIN, UNDO)]
