"""A small client of the public API: with a token as a program, or signed in as a person."""

import http.client
import json
import re
import time
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

IDLE_S = 2.0
CHUNK_BYTES = 256 * 1024
FINISHED = ("succeeded", "failed", "canceled")


class ApiError(Exception):
    """The API refused; the message is its problem's detail."""

    def __init__(self, status: int, body: Any) -> None:
        problem = body if isinstance(body, dict) else {}
        lines = [
            f"{item.get('pointer', '')} {item.get('detail', '')}".strip()
            for item in problem.get("errors", [])
        ]
        super().__init__(
            f"{status}: {problem.get('detail', body)}" + "".join(f"\n    {line}" for line in lines[:5])
        )
        self.status = status
        self.problem = problem


class Client:
    """One caller over one keep-alive connection."""

    def __init__(self, base_url: str, *, token: str = "", shop: str = "") -> None:
        self.base = urlsplit(base_url)
        self._connection = http.client.HTTPConnection(self.base.hostname or "", self.base.port, timeout=60)
        self._used_at = 0.0
        self._cookies: SimpleCookie = SimpleCookie()
        self._headers = {"Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        if shop:
            self._headers["X-Aisle-Shop"] = shop

    def close(self) -> None:
        self._connection.close()

    def cookies(self) -> dict[str, str]:
        """Return the session's cookies, for a browser that goes on as the same person."""
        return {name: morsel.value for name, morsel in self._cookies.items()}

    def sign_in(self, username: str, password: str) -> None:
        """Sign in as a person does: fetch the form, send it with its CSRF token."""
        status, page, _ = self._send("GET", "/sign-in")
        found = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        if status != 200 or found is None:
            raise ApiError(status, "the sign-in page did not come")
        form = {"username": username, "password": password, "csrfmiddlewaretoken": found[1].decode()}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Referer": self.base.geturl()}
        status, page, _ = self._send("POST", "/sign-in", urlencode(form).encode(), headers)
        if status != 302:
            raise ApiError(status, "the name or the password was not accepted")

    def sign_in_by_link(self, link: str) -> None:
        """Sign in with a one-time link."""
        path = urlsplit(link).path
        status, page, _ = self._send("GET", path)
        found = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        if status != 200 or found is None:
            raise ApiError(status, "the link is not valid")
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Referer": self.base.geturl()}
        form = urlencode({"csrfmiddlewaretoken": found[1].decode()}).encode()
        status, page, _ = self._send("POST", path, form, headers)
        if status != 302:
            raise ApiError(status, "the link was not accepted")

    def get(self, path: str, **query: Any) -> Any:
        return self._call("GET", path + (f"?{urlencode(query)}" if query else ""))

    def post(self, path: str, body: Any = None) -> Any:
        """POST once: the Idempotency-Key makes a retry harmless."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": f'"{uuid4()}"'}
        return self._call("POST", path, json.dumps({} if body is None else body).encode(), headers)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def put_file(self, path: str, file: Path) -> Any:
        """Stream a file as the raw body."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
        with file.open("rb") as stream:
            return self._call(
                "PUT", f"{path}?name={quote(file.name)}", iter(lambda: stream.read(CHUNK_BYTES), b""), headers
            )

    def recommend(self, placement: str, user: str, k: int) -> Any:
        """Ask a gateway for one shopper's recommendations."""
        path = f"/{placement}/recommendations?user={quote(user, safe='')}&k={k}"
        status, answer, _ = self._send("GET", path)
        if status != 200:
            raise ApiError(status, answer.decode(errors="replace"))
        return json.loads(answer)

    def wait(
        self, job_id: str, *, timeout_s: float, on_progress: Callable[[dict[str, Any]], None] | None = None
    ) -> Any:
        """Follow a job to its end; raises ApiError when it failed, TimeoutError when it takes too long."""
        deadline = time.monotonic() + timeout_s
        while True:
            job = self.get(f"jobs/{job_id}")
            if on_progress:
                on_progress(job)
            if job["state"] in FINISHED:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"{job_id} is still {job['status']} after {timeout_s:.0f} s")
            time.sleep(0.2)
        if job["state"] != "succeeded":
            raise ApiError(422, job["error"] or {"detail": f"{job_id} is {job['status']}"})
        return job

    def _call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        sent = dict(headers or {})
        if self._cookies and method not in ("GET", "HEAD"):
            sent |= {"X-CSRFToken": self._csrf(), "Referer": self.base.geturl()}
        status, answer, content_type = self._send(method, f"/api/v1/{path}", body, sent)
        parsed = json.loads(answer) if "json" in content_type and answer else answer.decode(errors="replace")
        if status >= 400:
            raise ApiError(status, parsed)
        return parsed

    def _csrf(self) -> str:
        return next((morsel.value for name, morsel in self._cookies.items() if name.endswith("csrf")), "")

    def _send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, str]:
        sent = {**self._headers, **(headers or {})}
        if self._cookies:
            sent["Cookie"] = "; ".join(f"{name}={morsel.value}" for name, morsel in self._cookies.items())
        if time.monotonic() - self._used_at > IDLE_S:
            self._connection.close()  # the server closes idle connections; a fresh one opens by itself
        self._connection.request(method, path, body, sent)
        answer = self._connection.getresponse()
        raw = answer.read()
        self._used_at = time.monotonic()
        for line in answer.headers.get_all("Set-Cookie", []):
            self._cookies.load(line)
        return answer.status, raw, answer.headers.get("Content-Type", "")
