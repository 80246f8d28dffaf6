"""The one door to an S3 store: a bucket whose objects are written as streams and read by signed addresses.

Every call is bounded. Keys come from where boto3 looks for them: AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY, a profile, or the role of the machine or pod.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from portal.core.errors import BackendError

PART_BYTES = 8 * 1024**2  # S3 allows 10,000 parts of an object
# Without threads there is one part in memory, however slow the store.
IN_PARTS = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False)
# Whoever asks has somebody waiting; whoever sends waits for a whole part to be taken.
ASKING = Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1})
SENDING = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 3})
COMMON = Config(
    signature_version="s3v4",
    s3={"addressing_style": "path"},  # a bucket's name need not be a host's
    request_checksum_calculation="when_required",  # the newer ones are unknown to stores of other makers
    response_checksum_validation="when_required",
)


class ObjectStore:
    """One bucket; every method raises BackendError when the store does not do what it is asked."""

    def __init__(self, url: str, bucket: str) -> None:
        self._url = url
        self._bucket = bucket

    def has(self, key: str) -> bool:
        """Tell whether there is such an object."""
        with _refusals():
            try:
                _client(self._url, ASKING).head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return False
                raise
        return True

    def put(self, key: str, chunks: Iterator[bytes]) -> None:
        """Write an object part by part. It is there once it is whole; what `chunks` raises leaves none."""
        with _refusals():
            _client(self._url, SENDING).upload_fileobj(_Stream(chunks), self._bucket, key, Config=IN_PARTS)

    def address(self, key: str, *, valid_s: int) -> str:
        """Sign an address from which whoever holds it may read the object for a while."""
        with _refusals():
            found: str = _client(self._url, ASKING).generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=valid_s
            )
        return found


class _Stream:
    """Chunks, none of them empty, as boto3 reads them."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = bytearray()

    def read(self, size: int = -1) -> bytes:
        while (size < 0 or len(self._rest) < size) and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        found = bytes(self._rest if size < 0 else self._rest[:size])
        del self._rest[: len(found)]
        return found


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (
        BotoCoreError,
        Boto3Error,
        ClientError,
        ValueError,
    ) as error:  # ValueError: an address that is none
        raise BackendError(f"The S3 store says: {error}") from error


@cache
def _client(url: str, patience: Config) -> Any:
    return Session().client("s3", endpoint_url=url, config=COMMON.merge(patience))
