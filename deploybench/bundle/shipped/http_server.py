"""POST an image, get JSON: the standard library's server, for one machine or behind a proxy.

All images go through one thread, one at a time, with the threads that the model was measured with.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MOST_BYTES = 20 << 20
SLOWEST_S = 10
HOW = "POST the image itself: curl --data-binary @photo.jpg http://HOST:PORT"

Answer = Callable[[bytes], Any]


def make_server(open_model: Callable[[], Answer], address: str) -> ThreadingHTTPServer:
    """A server at HOST:PORT. open_model: opens the model, returns what answers an image's bytes.

    What it answers is JSON; a ValueError that it raises is the fault of the image.
    """
    host, _, port = address.rpartition(":")
    pool = ThreadPoolExecutor(max_workers=1)
    answer = pool.submit(open_model).result()  # in the thread that will run it

    class Handler(BaseHTTPRequestHandler):
        timeout = SLOWEST_S

        def do_GET(self) -> None:
            self.reply(200, {"ready": True, "how": HOW})

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit():
                self.reply(411, {"error": "the request has no Content-Length", "how": HOW})
                return
            if int(length) > MOST_BYTES:
                self.reply(413, {"error": f"{length} bytes; at most {MOST_BYTES} are taken"})
                return
            content = self.rfile.read(int(length))
            try:
                self.reply(200, pool.submit(answer, content).result())
            except ValueError as error:
                self.reply(400, {"error": str(error), "how": HOW})
            except Exception as error:  # the runtime's; the server goes on
                self.reply(500, {"error": f"{type(error).__name__}: {error}"})

        def reply(self, status: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer((host.strip("[]") or "127.0.0.1", int(port)), Handler)
