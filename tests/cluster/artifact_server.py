"""Gives pods artifacts as the portal does, without a portal."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from models_app.artifact_archive import archive_files, archive_size, write_archive


@contextmanager
def serving(folder_at: Callable[[str], Path], address: str) -> Iterator[str]:
    """Serve at every path the artifact whose folder `folder_at` names; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files = archive_files(folder_at(self.path))
            self.send_response(200)
            self.send_header("Content-Length", str(archive_size(files)))
            self.end_headers()
            with suppress(ConnectionError):  # who finds the manifest wrong hears no more
                for chunk in write_archive(files):
                    self.wfile.write(chunk)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer((address, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://{address}:{server.server_address[1]}"
        server.shutdown()
        thread.join()
