"""An artifact travels whole or not at all, to whoever holds its address while its release is there."""

import asyncio
import io
import json
import shutil
import tarfile
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.urls import reverse

from deployments_app import artifact_api, fetch_artifact
from deployments_app.artifact_cache import ArtifactCache, make_server
from deployments_app.artifact_keys import artifact_url
from deployments_app.fetch_artifact import WITHOUT_STORE, Unavailable, Unusable, fetch
from deployments_app.gateway_tokens import environment_token
from deployments_app.models import Workload
from deployments_app.services.artifacts import revoke_artifact_addresses
from deployments_app.services.workloads import look_after
from engine.artifacts import load_artifact
from engine.tests.serving_process import make_artifact
from models_app.artifact_archive import archive_files, archive_size, write_archive
from models_app.artifact_store import store_artifact
from portal.core.storage import tree_path
from portal.stack.ports import choose_port


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return make_artifact(tmp_path_factory.mktemp("artifact") / "model", "popularity")


@pytest.fixture
def give():
    """Serve bytes on loopback; returns a function from what each path answers to an address."""
    answers = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            with suppress(ConnectionError):  # whoever heard enough hangs up
                self.wfile.write(body or b"")

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def put(path, body):
            answers[path] = body
            return f"http://127.0.0.1:{server.server_address[1]}{path}"

        yield put
        server.shutdown()
        thread.join()


def packed(folder):
    return b"".join(write_archive(archive_files(folder)))


def damage(folder, copy):
    """Copy an artifact, with one bit of it turned."""
    shutil.copytree(folder, copy)
    member = max(copy.glob("*.npy"), key=lambda path: path.stat().st_size)
    content = bytearray(member.read_bytes())
    content[-1] ^= 1
    member.chmod(0o600)
    member.write_bytes(bytes(content))
    return copy


def tar_of(*members):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content, kind in members:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(content), kind
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def test_what_was_packed_is_fetched_and_can_be_served(artifact, give, tmp_path):
    body = packed(artifact.folder)
    assert len(body) == archive_size(archive_files(artifact.folder))
    empty, full = give("/none", None), give("/some", body)
    fetch([empty, full], artifact.digest, tmp_path / "model")
    assert load_artifact(tmp_path / "model", artifact.digest).algorithm == "popularity"
    assert not (tmp_path / "model.partial").exists()


def test_a_file_that_needs_no_padding_does_not_end_the_archive(tmp_path):
    """Under ASGI an empty piece would."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x" * tarfile.BLOCKSIZE)
    files = [tmp_path / "a", tmp_path / "b"]

    async def collect():
        return b"".join([piece async for piece in artifact_api._in_threads(files)])

    sent = asyncio.run(collect())
    assert len(sent) == archive_size(files)
    with tarfile.open(fileobj=io.BytesIO(sent)) as archive:
        assert archive.getnames() == ["a", "b"]


def test_whatever_is_not_the_artifact_leaves_nothing_behind(artifact, give, tmp_path):
    damaged = damage(artifact.folder, tmp_path / "damaged")
    manifest = (artifact.folder / "manifest.json").read_bytes()
    plain, link = tarfile.REGTYPE, tarfile.SYMTYPE
    cases = {
        "does not have the sha256": packed(damaged),
        "which is no plain file": tar_of(("../manifest.json", manifest, plain)),
        "no plain file": tar_of(("manifest.json", b"", link)),
        "not as the manifest says": tar_of(("manifest.json", manifest, plain), ("more.npy", b"x", plain)),
        "does not begin with a manifest": tar_of(("a.npy", b"x", plain)),
    }
    for at, (words, body) in enumerate(cases.items()):
        with pytest.raises(Unusable, match=words):
            fetch([give(f"/{at}", body)], artifact.digest, tmp_path / "model")
    with pytest.raises(Unusable, match="has the digest"):
        fetch([give("/good", packed(artifact.folder))], "0" * 64, tmp_path / "model")
    for at, cut in enumerate((0, 1000, 20_000)):
        half = give(f"/half{at}", packed(artifact.folder)[:cut])
        with pytest.raises(Unavailable, match=r"ended before|unexpected end|empty file"):
            fetch([half], artifact.digest, tmp_path / "model", rounds=1)
    with pytest.raises(Unavailable, match="answered 404"):
        fetch([give("/none", None)], artifact.digest, tmp_path / "model", rounds=2)
    assert not (tmp_path / "model").exists()


def test_the_command_says_what_came_of_it(artifact, give, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fetch_artifact, "ROUNDS", 1)
    sources = tmp_path / "sources.json"
    sources.write_text(f'["{give("/a", packed(artifact.folder))}"]')
    arguments = [str(sources), artifact.digest, str(tmp_path / "model")]
    assert fetch_artifact.main(arguments) == 0
    assert "every sha256 is right" in capsys.readouterr().out
    assert fetch_artifact.main(arguments) == 0
    assert "there already" in capsys.readouterr().out
    assert fetch_artifact.main([str(sources), "0" * 64, str(tmp_path / "other")]) == 1
    assert "has the digest" in capsys.readouterr().err


def test_a_cache_keeps_what_the_portal_lists_and_gives_it_to_whoever_has_the_address(
    artifact, give, tmp_path
):
    body = packed(artifact.folder)
    path = f"/gateway/v1/artifacts/rel_1/{artifact.digest}?signature=abc"
    portal = give(path, body).removesuffix(path)

    def list_(*paths):
        give("/gateway/v1/artifacts?backend=env_1", json.dumps({"artifacts": paths}).encode())

    cache = ArtifactCache(tmp_path / "kept", portal, "env_1.token", "env_1")
    assert not cache.refresh()  # the portal does not answer yet
    list_(path)
    assert cache.refresh()
    give(path, None)
    with make_server(cache, ("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        near = f"http://127.0.0.1:{server.server_address[1]}"
        fetch([near + path], artifact.digest, tmp_path / "model")
        for wrong in (path[:-1], path + "x", path.replace("rel_1", "rel_2"), "/"):
            with pytest.raises(Unavailable, match="answered 404"):
                fetch([near + wrong], artifact.digest, tmp_path / "other", rounds=1)
        list_(path.replace("abc", "renewed"))
        assert cache.refresh()
        with pytest.raises(Unavailable, match="answered 404"):
            fetch([near + path], artifact.digest, tmp_path / "other", rounds=1)
        server.shutdown()
        thread.join()
    assert load_artifact(tmp_path / "model", artifact.digest).algorithm == "popularity"
    list_()
    assert cache.refresh()
    assert list((tmp_path / "kept").iterdir()) == []


def test_an_address_opens_one_artifact_until_its_release_is_retired(world, client):
    release, other = world.make_live(), world.make_live(world.version())
    for each in (release, other):
        look_after(each)

    def ask(url):
        answer = client.get(url.removeprefix("http://").partition("/")[2].join(("/", "")))
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        return answer.status_code, content

    servers = Workload.objects.get(release=release)
    url = artifact_url(release, servers)
    status, content = ask(url)
    assert status == 200
    assert content == packed(tree_path(release.artifact_digest))
    signature = url.rpartition("=")[2]
    for release_id, digest, given in (
        (other.pk, release.artifact_digest, signature),
        (release.pk, "0" * 64, signature),
        (release.pk, release.artifact_digest, ""),
        (release.pk, release.artifact_digest, signature[:-1]),
        (release.pk, release.artifact_digest, "ü" * 64),
    ):
        path = reverse("gateway_artifact", args=[release_id, digest])
        assert client.get(path, {"signature": given}).status_code == 404
    revoke_artifact_addresses(world.admin, world.shop, release)
    assert ask(url)[0] == 404
    servers.refresh_from_db()
    renewed = artifact_url(release, servers)
    token = environment_token(world.environment.pk)
    listed = reverse("gateway_artifacts") + f"?backend={world.environment.pk}"
    for given, status in ((token, 200), (environment_token("env_other"), 403), ("", 401)):
        answer = client.get(listed, headers={"Authorization": f"Bearer {given}"})
        assert answer.status_code == status
        if status == 200:
            assert renewed.endswith(tuple(answer.json()["artifacts"]))
    assert ask(renewed)[0] == 200
    servers.delete()
    assert ask(renewed)[0] == 404


@pytest.fixture
def served(world, s3_store, live_server, settings):
    """A release whose artifact is in the S3 store, and the address that its servers ask."""
    settings.CLUSTER_PORTAL_URL = live_server.url
    release = world.make_live()
    look_after(release)
    store_artifact(release.artifact_digest)
    return release, artifact_url(release, Workload.objects.get(release=release))


def test_whoever_holds_an_address_is_sent_on_to_the_s3_store(served, s3_url, client, tmp_path, world):
    release, url = served
    answer = client.get(url, follow=False)
    assert answer.status_code == 307
    assert answer.headers["Location"].startswith(f"{s3_url}/")
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert fetch([url], release.artifact_digest, tmp_path / "model") == s3_url.removeprefix("http://")
    assert load_artifact(tmp_path / "model", release.artifact_digest, verify=True).algorithm == "als"
    by_itself = client.get(url + WITHOUT_STORE)
    assert (by_itself.status_code, b"".join(by_itself)) == (200, packed(tree_path(release.artifact_digest)))
    assert client.get(url[:-1]).status_code == 404
    revoke_artifact_addresses(world.admin, world.shop, release)
    assert client.get(url).status_code == 404
    with pytest.raises(Unavailable, match="answered 404"):
        fetch([url], release.artifact_digest, tmp_path / "other", rounds=1)


def test_a_damaged_object_is_refused_and_the_portals_own_taken(served, s3_store, tmp_path):
    release, url = served
    body = packed(damage(tree_path(release.artifact_digest), tmp_path / "damaged"))
    s3_store.put(f"artifacts/{release.artifact_digest}.tar", iter([body]))
    with pytest.raises(Unusable, match="does not have the sha256"):
        fetch([url], release.artifact_digest, tmp_path / "model", rounds=1)
    assert not (tmp_path / "model").exists()
    giver = fetch([url, url + WITHOUT_STORE], release.artifact_digest, tmp_path / "model")
    assert url.startswith(f"http://{giver}/")


def test_what_is_not_in_the_s3_store_the_portal_sends_itself(served, client, settings):
    release, url = served
    whole = packed(tree_path(release.artifact_digest))
    bucket, settings.ARTIFACT_S3_BUCKET = settings.ARTIFACT_S3_BUCKET, "no-such-bucket"
    assert b"".join(client.get(url)) == whole
    settings.ARTIFACT_S3_BUCKET = bucket
    assert client.get(url).status_code == 307
    settings.ARTIFACT_S3_URL = f"http://127.0.0.1:{choose_port()}"
    assert b"".join(client.get(url)) == whole


def test_an_artifact_that_only_the_s3_store_still_has_is_served(served, tmp_path):
    release, url = served
    kept = tree_path(release.artifact_digest)
    kept.rename(tmp_path / "away")
    try:
        fetch([url], release.artifact_digest, tmp_path / "model")
        with pytest.raises(Unavailable, match="answered 404"):
            fetch([url + WITHOUT_STORE], release.artifact_digest, tmp_path / "other", rounds=1)
    finally:
        (tmp_path / "away").rename(kept)


def test_a_cache_keeps_what_comes_from_the_s3_store(served, settings, tmp_path, world):
    token = environment_token(world.environment.pk)
    cache = ArtifactCache(tmp_path / "kept", settings.CLUSTER_PORTAL_URL, token, world.environment.pk)
    assert cache.refresh()
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_bytes() == packed(tree_path(served[0].artifact_digest))


def test_a_cache_that_cannot_reach_the_s3_store_asks_the_portal_to_send(artifact, give, tmp_path):
    body = packed(artifact.folder)
    path = f"/gateway/v1/artifacts/rel_1/{artifact.digest}?signature=abc"
    portal = give(path, None).removesuffix(path)
    give(path + WITHOUT_STORE, body)
    give("/gateway/v1/artifacts?backend=env_1", json.dumps({"artifacts": [path]}).encode())
    cache = ArtifactCache(tmp_path / "kept", portal, "env_1.token", "env_1")
    assert cache.refresh()
    assert cache.find(path).read_bytes() == body
