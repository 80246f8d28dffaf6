"""`manage.py check_setup` finds what is wrong before a person does."""

import io

import pytest
import redis
from django.core.management import call_command

from portal import setup_checks
from portal.stack.ports import choose_port

pytestmark = pytest.mark.django_db


def test_the_shared_servers_are_set_up_right(settings):
    settings.SECRET_KEY = "0123456789" * 6
    for check in (setup_checks.check_database, setup_checks.check_broker, setup_checks.check_storage):
        finding = check()
        assert finding.is_ok, finding
    assert setup_checks.check_secret().is_ok
    assert list(settings.STORAGE_DIR.glob("tmp*/*")) == [], "nothing is left behind"


def test_a_redis_that_may_drop_messages_is_a_problem(settings):
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            finding = setup_checks.check_broker()
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert not finding.is_ok
    assert "noeviction" in finding.remedy


def test_servers_that_do_not_answer_are_problems(settings):
    settings.REDIS_URL = f"redis://127.0.0.1:{choose_port()}/0"
    settings.GATEWAY_URL = f"http://127.0.0.1:{choose_port()}"
    assert not setup_checks.check_broker().is_ok
    assert not setup_checks.check_gateway().is_ok


def test_a_folder_that_cannot_be_written_is_a_problem(settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    settings.STORAGE_DIR = tmp_path / "file"
    settings.FILE_UPLOAD_TEMP_DIR = settings.STORAGE_DIR / "tmp"
    assert not setup_checks.check_storage().is_ok


@pytest.mark.parametrize(
    ("url", "hosts", "is_ok"),
    [
        ("http://127.0.0.1:8000", ["127.0.0.1"], True),
        ("http://shop.example", ["shop.example"], False),
        ("https://shop.example", ["shop.example"], True),
        ("https://shop.example", ["127.0.0.1"], False),
    ],
)
def test_only_loopback_may_do_without_tls(settings, url, hosts, is_ok):
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS, settings.HTTPS = url, hosts, url.startswith("https")
    assert setup_checks.check_public_address().is_ok is is_ok


def test_a_backend_that_cannot_be_imported_is_named(settings):
    settings.DEPLOYMENT_BACKENDS = {"moon": "deployments_app.backends.moon.MoonBackend"}
    finding = setup_checks.check_backends()
    assert not finding.is_ok
    assert "moon" in finding.answer


def test_a_bucket_that_takes_nothing_is_a_problem(settings, s3_store):
    assert setup_checks.check_artifact_store().is_ok
    settings.ARTIFACT_S3_BUCKET = "no-such-bucket"
    finding = setup_checks.check_artifact_store()
    assert not finding.is_ok
    assert "no-such-bucket" in finding.answer
    settings.ARTIFACT_S3_URL = ""
    assert setup_checks.check_artifact_store().is_ok


def test_a_problem_gives_exit_status_1_and_says_what_to_do(settings):
    settings.SECRET_KEY = "short"
    said = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("check_setup", stdout=said)
    assert ended.value.code == 1
    assert "Set SECRET_KEY to 50 random characters." in said.getvalue()


def test_a_cluster_is_asked_only_where_there_is_one(monkeypatch, tmp_path):
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert setup_checks.check_cluster().is_ok
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    finding = setup_checks.check_cluster()
    assert not finding.is_ok
    assert "no access to a cluster" in finding.answer
