"""Objects go to a real S3 server as streams, whole or not at all, and come back by signed addresses."""

import socket
import time
import tracemalloc
import urllib.error
import urllib.request

import pytest

from portal.core.errors import BackendError
from portal.core.object_store import PART_BYTES, ObjectStore
from portal.stack.ports import choose_port
from tests.s3_server import open_client


def read(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def pieces(size, of=100_000):
    """Yield bytes that differ from part to part, in pieces that fit no part."""
    for at in range(0, size, of):
        yield bytes([at // of % 251]) * min(of, size - at)


def test_a_large_object_goes_in_parts_and_is_never_whole_in_memory(s3_url, s3_store, settings):
    size = 12 * PART_BYTES + 1
    tracemalloc.start()
    try:
        s3_store.put("large", pieces(size))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * PART_BYTES  # one is sent; what sent those before is let go some time later
    kept = open_client(s3_url).head_object(Bucket=settings.ARTIFACT_S3_BUCKET, Key="large")
    assert kept["ContentLength"] == size
    assert kept["ETag"].strip('"').endswith("-13")
    assert read(s3_store.address("large", valid_s=60)) == b"".join(pieces(size))


def test_what_fails_on_the_way_is_raised_as_it_is_and_leaves_no_object(s3_url, s3_store, settings):
    class Canceled(Exception):
        pass

    def cut():
        yield from pieces(2 * PART_BYTES)
        raise Canceled

    with pytest.raises(Canceled):
        s3_store.put("cut", cut())
    assert not s3_store.has("cut")
    listed = open_client(s3_url).list_multipart_uploads(Bucket=settings.ARTIFACT_S3_BUCKET)
    assert listed.get("Uploads", []) == []


def test_an_address_opens_its_object_only_and_only_for_a_while(s3_store):
    s3_store.put("one", iter([b"first"]))
    s3_store.put("two", iter([b"second"]))
    url = s3_store.address("one", valid_s=1)
    assert read(url) == b"first"
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        read(url.replace("/one?", "/two?"))
    refused.value.close()
    time.sleep(2.1)
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        read(url)
    refused.value.close()


def test_a_store_that_refuses_says_so(s3_url):
    other = ObjectStore(s3_url, "no-such-bucket")
    with pytest.raises(BackendError, match="NoSuchBucket"):
        other.put("x", iter([b"x"]))
    with pytest.raises(BackendError, match="Invalid endpoint"):
        ObjectStore("no address", "x").has("x")


def test_a_store_that_does_not_answer_is_given_up_soon(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "some")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "thing")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (silent.getsockname()[1], choose_port()):
            store = ObjectStore(f"http://127.0.0.1:{port}", "x")
            store.address("x", valid_s=60)  # makes the client, which is work, not waiting, and asks nobody
            began = time.monotonic()
            with pytest.raises(BackendError):
                store.has("x")
            assert time.monotonic() - began < 5
