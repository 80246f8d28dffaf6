"""A small real HTTP server that speaks the portal's side of the gateway protocol."""

import json
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from deployments_app.gateway import DeploymentRoute, Report, Routes, report_from_json, routes_to_json
from deployments_app.tests.gateway_rig import free_port, wait_until

TOKEN = "agent-token-of-the-tests"


class PortalStandIn:
    """Hands out routes with an ETag, keeps the reports, and can go down and come back."""

    def __init__(self) -> None:
        self.port = free_port()
        self.routes = Routes.of("production", ())
        self.shoppers: list[str] = []
        self.garbage: bytes | None = None
        self.reports: list[Report] = []
        self.asked_at: list[float] = []
        self.status: list[int] = []
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def publish(self, *deployments: DeploymentRoute) -> Routes:
        self.routes = Routes.of("production", deployments)
        return self.routes

    def await_running(self, routes: Routes, timeout_s: float = 5.0) -> Report:
        """Wait until the last report says that Envoy runs these routes."""
        self.await_report(lambda report: report.envoy_version_running == routes.version, timeout_s, last=1)
        return self.reports[-1]

    def await_report(self, is_it: Any, timeout_s: float = 5.0, last: int = 1000) -> Report:
        """Wait for a report, among so many of the last ones."""
        found: list[Report] = []

        def look() -> bool:
            found[:] = [report for report in self.reports[-last:] if is_it(report)][-1:]
            return bool(found)

        wait_until(look, f"a report; the last was {self.reports[-1:]}", timeout_s, every_s=0.005)
        return found[0]

    def start(self) -> None:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = 65536

            def log_message(self, *_: Any) -> None:
                pass

            def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
                stand_in.status.append(status)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 304:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self) -> None:
                stand_in.asked_at.append(time.monotonic())
                etag = f'"{stand_in.routes.version}"'
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    self.answer(401)
                elif self.path.startswith("/gateway/v1/shoppers?rollout="):
                    self.answer(200, json.dumps({"shoppers": stand_in.shoppers}).encode())
                elif self.path != "/gateway/v1/routes?backend=local":
                    self.answer(404)
                elif stand_in.garbage is not None:
                    self.answer(200, stand_in.garbage, ETag='"garbage"')
                elif self.headers.get("If-None-Match") == etag:
                    self.answer(304, ETag=etag)
                else:
                    content = json.dumps(routes_to_json(stand_in.routes, datetime.now(UTC))).encode()
                    self.answer(200, content, ETag=etag)

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    self.answer(401)
                    return
                assert self.path == "/gateway/v1/report"
                stand_in.reports.append(report_from_json(json.loads(content)))
                self.answer(204)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self._connections: list[Any] = []
        accept = self._server.get_request

        def remember() -> Any:
            request = accept()
            self._connections.append(request[0])
            return request

        self._server.get_request = remember  # type: ignore[method-assign]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Go down as a killed process does: connections break, the port is closed."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        for connection in self._connections:
            try:
                connection.shutdown(2)
            except OSError:
                continue
        self._server = None
