"""A webhook on loopback: keeps what it is sent, and answers what a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Webhook:
    """What was sent to it, and the status that it answers."""

    url: str = ""
    status: int = 200
    sent: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def webhook(path: str = "/services/T0/B0/s3cr3t") -> Iterator[Webhook]:
    """Run a webhook and yield it."""
    found = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == path and found.status < 300:
                found.sent.append(content)
            self.send_response(found.status if self.path == path else 404)
            if 300 <= found.status < 400:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}{path}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
