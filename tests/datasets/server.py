"""A web server on this machine that behaves badly in the ways that servers do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENTS = bytes(i * i % 251 for i in range(200_000))


@dataclass
class Plan:
    """What the server does with each request, in turn; the last word holds for all that follow.

    Words: ``whole``, ``cut`` (half of what was asked, then the connection ends), ``stall`` (half, then silence),
    ``wrong`` (other bytes), ``deaf`` (ignores Range), ``404``, ``503``, ``416``.
    """

    words: list[str]
    asked: list[str | None] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)


def _handler(plan: Plan) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_) -> None:
            pass

        def do_GET(self) -> None:
            word = plan.words[min(len(plan.asked), len(plan.words) - 1)]
            asked = self.headers.get("Range")
            plan.asked.append(asked)
            self.close_connection = True
            if word.isdigit():
                return self.send_error(int(word))
            start = 0 if asked is None or word == "deaf" else int(asked.removeprefix("bytes=").rstrip("-"))
            body = CONTENTS[start:]
            if word == "wrong":
                body = bytes(len(body))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(CONTENTS) - 1}/{len(CONTENTS)}")
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if word in ("cut", "stall") else body)
            self.wfile.flush()
            if word == "stall":
                plan.done.wait(10)

    return Handler


@contextmanager
def serve(*words: str) -> Iterator[tuple[str, Plan]]:
    """The address of a folder with any file in it, and the plan, which records the Range of every request."""
    plan = Plan(list(words))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(plan))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", plan
    finally:
        plan.done.set()
        server.shutdown()
        thread.join()
        server.server_close()
