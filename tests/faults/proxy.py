"""A proxy before a real HTTP service that misbehaves on request: refuses, stalls, or hides the answer to what was done."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class BrokenProxy:
    """Forwards to `target`; `fault` is "", "429", "503", "timeout after commit" or "cut after commit"."""

    def __init__(self, target: str) -> None:
        self.fault = ""
        self.hits: Counter[str] = Counter()
        host = urlsplit(target).netloc
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = proxy.fault if "_bulk" in self.path else ""
                proxy.hits[fault] += bool(fault)
                if fault in {"429", "503"}:
                    self._answer(int(fault), [("Content-Type", "application/json")], b'{"error":"busy"}')
                    return
                upstream = http.client.HTTPConnection(host, timeout=30)
                upstream.request(self.command, self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                data = answer.read()
                upstream.close()
                if fault == "timeout after commit":
                    time.sleep(2.0)
                if fault:
                    self.close_connection = True
                    return
                self._answer(answer.status, answer.getheaders(), data)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _any

            def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in {"content-length", "transfer-encoding", "content-encoding", "connection"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> BrokenProxy:
        """Begin to forward."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
