"""Keeps an environment's live and warm artifacts in its cluster, beside each gateway.

A server that has to start anew while the portal is down finds its artifact here. What is kept is what the
portal lists; whoever asks by an address that the portal gave out for it gets it, and checks it. It uses
neither database nor Django: `python -m deployments_app.artifact_cache` needs the environment only.
"""

import hmac
import http.client
import json
import logging
import os
import shutil
import signal
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from deployments_app.fetch_artifact import WITHOUT_STORE

LIST_PATH = "/gateway/v1/artifacts"
ASK_EVERY_S = 3.0
TIMEOUT_S = 10.0

log = logging.getLogger("aisle.cache")


class ArtifactCache:
    """The folder of packed artifacts, and the addresses that open them."""

    def __init__(self, folder: Path, portal_url: str, token: str, scope: str) -> None:
        self.folder = folder
        self._portal_url = portal_url.rstrip("/")
        self._token = token
        self._scope = scope
        self._known: list[str] = []  # paths with their signatures
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def refresh(self) -> bool:
        """Ask the portal what is to be kept, fetch what is missing, drop the rest; tell if all is there."""
        try:
            listed = self._list()
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            log.warning("The portal did not say what to keep: %s", error)
            _close(error)
            return False
        missing = [path for path in listed if not (self._keep(path) or self._keep(path, WITHOUT_STORE))]
        self._known = listed
        wanted = {_digest(path) for path in listed}
        for file in self.folder.iterdir():
            if file.stem not in wanted:
                file.unlink(missing_ok=True)
        return not missing

    def find(self, target: str) -> Path | None:
        """Find the packed artifact that a request's target opens."""
        given = target.encode("utf-8", "surrogateescape")
        opened = [path for path in self._known if hmac.compare_digest(path.encode(), given)]
        file = self._file(opened[0]) if opened else None
        return file if file is not None and file.exists() else None

    def _list(self) -> list[str]:
        query = urlencode({"backend": self._scope})
        headers = {"Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(f"{self._portal_url}{LIST_PATH}?{query}", headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - our own setting
            return [str(path) for path in json.loads(answer.read())["artifacts"]]

    def _keep(self, path: str, how: str = "") -> bool:
        file = self._file(path)
        if file.exists():
            return True
        partial = file.with_suffix(".partial")
        try:
            with (
                urllib.request.urlopen(self._portal_url + path + how, timeout=TIMEOUT_S) as answer,  # noqa: S310
                partial.open("wb") as target,
            ):
                shutil.copyfileobj(answer, target)
                giver = urlsplit(answer.url).netloc
                is_whole = target.tell() == int(answer.headers.get("Content-Length", "-1"))
        except (OSError, http.client.HTTPException) as error:
            log.warning("An artifact could not be fetched: %s", error)
            _close(error)
            return False
        if is_whole:
            partial.replace(file)
            log.info("Keeping %s, from %s.", file.name, giver)
        return is_whole

    def _file(self, path: str) -> Path:
        return self.folder / f"{_digest(path)}.tar"


def _close(error: Exception) -> None:
    if isinstance(error, urllib.error.HTTPError):
        error.close()  # an error that came as an answer holds its connection


def _digest(path: str) -> str:
    digest = urlsplit(path).path.rpartition("/")[2]
    if not digest.isalnum():
        raise ValueError("the portal listed an address without a digest")
    return digest


def make_server(cache: ArtifactCache, address: tuple[str, int]) -> ThreadingHTTPServer:
    """Make the server that hands artifacts out."""

    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT_S

        def do_GET(self) -> None:
            file = cache.find(self.path)
            if file is None:
                self.send_error(404)
                return
            with file.open("rb") as source, suppress(ConnectionError, TimeoutError):
                self.send_response(200)
                self.send_header("Content-Type", "application/x-tar")
                self.send_header("Content-Length", str(os.fstat(source.fileno()).st_size))
                self.end_headers()
                shutil.copyfileobj(source, self.wfile)

        def log_message(self, *args: object) -> None:
            """Write no line a request: its target is a secret."""

    return ThreadingHTTPServer(address, Handler)


def main() -> None:
    """Keep and hand out until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    setting = os.environ
    cache = ArtifactCache(
        Path(setting["AISLE_HOME"]) / "artifacts",
        setting["PORTAL_URL"],
        setting["AGENT_TOKEN"],
        setting["GATEWAY_BACKEND"],
    )
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server = make_server(cache, ("", int(setting["CACHE_PORT"])))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cache.refresh()
    while not stopping.wait(ASK_EVERY_S):
        cache.refresh()
    server.shutdown()


if __name__ == "__main__":
    main()
