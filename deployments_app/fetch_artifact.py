"""Fetch one artifact and check all of it: `python -m deployments_app.fetch_artifact SOURCES DIGEST FOLDER`.

SOURCES is a JSON file with a list of addresses, tried in turn; the portal's may lead on to its S3 store. The
manifest comes first and must hash to DIGEST; every other file must be named by it and hash to what it says.
Only then does FOLDER exist. It runs before a model server, with the standard library alone, so that it starts
at once.
"""

import hashlib
import http.client
import json
import os
import re
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]{0,99}\Z")
MANIFEST_MAX_BYTES = 1024 * 1024
TIMEOUT_S = 10.0
ROUNDS = 6  # through all sources, a little longer apart each time: 15 s in all
CHUNK_BYTES = 256 * 1024
WITHOUT_STORE = "&store=no"  # after the portal's address: it sends the artifact itself, in S3 or not


class Unusable(Exception):
    """What was fetched is not the artifact that was asked for; the message names the part."""


class Unavailable(Exception):
    """No source gave an answer."""


def fetch(sources: list[str], digest: str, folder: Path, *, rounds: int = ROUNDS) -> str:
    """Fetch the artifact into `folder`, which appears only once it is whole; return who gave it.

    Raises Unavailable when nobody has it, Unusable when what they have is not it.
    """
    problems: list[Exception] = []
    for turn in range(rounds):
        time.sleep(turn)
        problems = []
        for url in sources:
            try:
                return _fetch_from(url, digest, folder)
            except (Unusable, Unavailable) as error:
                problems.append(error)
        if all(isinstance(error, Unusable) for error in problems):
            break  # asking again would bring the same
    wrong = [error for error in problems if isinstance(error, Unusable)]
    raise wrong[0] if wrong else Unavailable("; ".join(map(str, problems)) or "there is no source")


def _fetch_from(url: str, digest: str, folder: Path) -> str:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with (
            urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer,  # noqa: S310 - the portal names it
            tarfile.open(fileobj=answer, mode="r|") as archive,
        ):
            giver = _host(answer.url)
            _unpack(archive, digest, partial)
    except urllib.error.HTTPError as error:
        error.close()
        raise Unavailable(f"{_host(url)} answered {error.code}") from error
    except (OSError, EOFError, http.client.HTTPException, tarfile.TarError) as error:
        raise Unavailable(f"{_host(url)}: {error}") from error
    partial.rename(folder)
    return giver


def _unpack(archive: tarfile.TarFile, digest: str, folder: Path) -> None:
    wanted: dict[str, tuple[int, str]] | None = None
    for member in archive:
        content = archive.extractfile(member) if member.isreg() else None
        if content is None or NAME.match(member.name) is None:
            raise Unusable(f"the archive holds {member.name[:80]!r}, which is no plain file")
        if wanted is None:
            wanted = _read_manifest(member, content, digest, folder)
            continue
        size, sha256 = wanted.pop(member.name, (-1, ""))
        if member.size != size:
            raise Unusable(f"{member.name} is not as the manifest says: {member.size} bytes")
        if _write(content, folder / member.name) != sha256:
            raise Unusable(f"{member.name} does not have the sha256 that the manifest says")
    if wanted is None or wanted:  # cut off on the way, which may pass
        raise Unavailable(f"the archive ended before {min(wanted) if wanted else 'it began'}")


def _read_manifest(
    member: tarfile.TarInfo, content: IO[bytes], digest: str, folder: Path
) -> dict[str, tuple[int, str]]:
    if member.name != "manifest.json" or member.size > MANIFEST_MAX_BYTES:
        raise Unusable("the archive does not begin with a manifest")
    text = content.read()
    found = hashlib.sha256(text).hexdigest()
    if found != digest:
        raise Unusable(f"the manifest has the digest {found[:12]}…, expected {digest[:12]}…")
    (folder / "manifest.json").write_bytes(text)
    manifest: dict[str, Any] = json.loads(text)
    entries = {f"{name}.npy": entry for name, entry in manifest["members"].items()}
    entries |= manifest.get("files", {})
    return {name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in entries.items()}


def _write(content: IO[bytes], path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open("xb") as file:
        while chunk := content.read(CHUNK_BYTES):
            sha256.update(chunk)
            file.write(chunk)
    return sha256.hexdigest()


def _host(url: str) -> str:
    return urlsplit(url).netloc


def main(arguments: list[str]) -> int:
    """Fetch as the command line says; the last line of output says what came of it."""
    sources, digest, folder = json.loads(Path(arguments[0]).read_text()), arguments[1], Path(arguments[2])
    if folder.exists():
        print("the artifact is there already")
        return 0
    began = time.monotonic()
    try:
        giver = fetch(sources, digest, folder)
    except (Unusable, Unavailable) as error:
        print(f"the artifact was not fetched: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"fetched {size:,} bytes from {giver} in {time.monotonic() - began:.1f} s; every sha256 is right")
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
