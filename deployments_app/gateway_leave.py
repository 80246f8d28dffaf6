"""Take leave of shoppers before Envoy ends: `python -m deployments_app.gateway_leave ADMIN_PORT SECONDS`.

Envoy closes each connection with its next answer, and goes on answering; by the end nobody is left.
"""

import http.client
import sys
import time


def leave(admin_port: int, seconds: float) -> None:
    """Ask Envoy to drain, and wait."""
    until = time.monotonic() + seconds
    connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=2)
    try:
        connection.request("POST", "/drain_listeners?graceful")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        print(f"Envoy was not asked to drain: {error}", file=sys.stderr)
    finally:
        connection.close()
    time.sleep(max(0.0, until - time.monotonic()))


if __name__ == "__main__":
    leave(int(sys.argv[1]), float(sys.argv[2]))
