"""A model server's outside, as a process of its own: `upstream.py PORT RELEASE`, to be stopped and killed.

It says which release it is and what it was sent. `fail=500` in the query makes it answer so,
`fail=RELEASE:500` only when it is that release; `sleep=RELEASE:0.5` likewise waits. `/seen` tells how many
requests came before and what the last one's headers were.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

seen: dict[str, object] = {"requests": 0, "headers": {}}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection's requests until it closes."""
    release = sys.argv[2]

    def mine(values: list[str]) -> str | None:
        for value in values:
            who, _, what = value.rpartition(":")
            if who in ("", release):
                return what
        return None

    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            told = json.dumps(seen)
            if target != "/seen":
                seen.update(requests=int(str(seen["requests"])) + 1, headers=headers)
            query = parse_qs(urlsplit(target).query)
            status, wait = mine(query.get("fail", [])) or "200", mine(query.get("sleep", []))
            if wait:
                await asyncio.sleep(float(wait))
            items = [f"i{rank}" for rank in range(5)] + [f"{release}-{rank}" for rank in range(5)]
            echo = {
                "items": [{"item_id": item, "score": float(len(release))} for item in items],
                "method": method,
                "target": target,
                "headers": headers,
                "body": len(body),
            }
            content = (told if target == "/seen" else json.dumps({"release_id": release, **echo})).encode()
            start = f"HTTP/1.1 {status} x\r\ncontent-length: {len(content)}\r\nx-release-id: {release}\r\n"
            writer.write(f"{start}content-type: application/json\r\n\r\n".encode() + content)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]), backlog=256)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
