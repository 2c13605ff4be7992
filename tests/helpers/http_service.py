"""A local HTTP service in the place of a real one, which records every request and fails on command."""

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, urlsplit


class Request(NamedTuple):
    """One request that came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    raw: bytes = b""


Answer = tuple[int, Any, dict[str, str]]
"""Status, body (bytes unchanged, an iterator of bytes as a stream, anything else as JSON) and headers; ``X-Download``
marks one that can be truncated."""

Act = Callable[..., Answer]


class Fault(NamedTuple):
    """A failure of one request."""

    kind: str
    """``status``: an error, without the action. ``done``: the action, then an error. ``drop``: no answer, without the
    action. ``lose``: the action, then no answer. ``hang``: silence. ``garbage``: the action, then an answer that is
    not JSON."""
    status: int = 500
    headers: dict[str, str] = {}
    body: Any = None


class StandIn:
    """The state of a service, and its address."""

    routes: list[tuple[str, re.Pattern[str], Act]] = []

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.faults: list[tuple[str, re.Pattern[str], list[Fault]]] = []
        self.cuts: list[int] = []
        """The numbers of bytes after which the next downloads end."""
        self.url = ""
        self.stopping = threading.Event()

    def fail(self, method: str, path: str, *faults: Fault, times: int = 1) -> None:
        """Let the next requests to a path fail."""
        self.faults.append((method, re.compile(path), list(faults) * times))

    def count(self, method: str, path: str) -> int:
        """How many such requests came in."""
        return sum(r.method == method and re.fullmatch(path, r.path) is not None for r in self.requests)

    def next_fault(self, method: str, path: str) -> Fault | None:
        """The fault for this request, if any."""
        for fault_method, pattern, faults in self.faults:
            if fault_method == method and pattern.fullmatch(path) and faults:
                return faults.pop(0)
        return None

    def refusal(self, request: Request) -> Answer | None:
        """The answer to a request without permission; None: it is permitted."""
        raise NotImplementedError

    def act(self, request: Request) -> Answer:
        """Perform the request's action."""
        if refusal := self.refusal(request):
            return refusal
        for method, pattern, act in self.routes:
            match = pattern.fullmatch(request.path)
            if method == request.method and match:
                return act(self, request, *match.groups())
        return 404, {"message": "Not Found", "detail": "The requested resource could not be found"}, {}


def routes(table: list[tuple[str, str, Act]]) -> list[tuple[str, re.Pattern[str], Act]]:
    """A table of methods, paths and actions."""
    return [(method, re.compile(path), act) for method, path, act in table]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: StandIn

    def log_message(self, *_: object) -> None:
        """No output."""

    def do_GET(self) -> None:
        self._serve("GET")

    def do_HEAD(self) -> None:
        self._serve("HEAD")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            raw = self._chunks()
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        request = Request(method, url.path, query, dict(self.headers), _body(raw, self.headers), raw)
        self.service.requests.append(request)
        fault = self.service.next_fault(method, url.path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._answer(request, fault)

    def _answer(self, request: Request, fault: Fault | None) -> None:
        if fault and fault.kind == "hang":
            self.service.stopping.wait(60)
        if fault and fault.kind in ("hang", "drop"):
            self.close_connection = True
        elif fault and fault.kind == "status":
            self._send(fault.status, fault.body or {"error": {"message": "injected"}}, fault.headers)
        else:
            status, body, headers = self.service.act(request)
            if fault is None:
                self._send(status, body, headers)
            elif fault.kind == "lose":
                self.close_connection = True
            elif fault.kind == "done":
                self._send(fault.status, fault.body or {"message": "injected"}, fault.headers)
            elif fault.kind == "garbage":
                self._send(200, b"<html>gateway</html>", {})

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _stream(self, status: int, parts: Iterator[bytes], headers: dict[str, str]) -> None:
        self.close_connection = True
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        for part in parts:
            self.wfile.write(part)
            self.wfile.flush()

    def _send(self, status: int, body: Any, headers: dict[str, str]) -> None:
        if isinstance(body, Iterator):
            self._stream(status, body, headers)
            return
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = dict(headers)
        byte_limit = self.service.cuts.pop(0) if headers.pop("X-Download", "") and self.service.cuts else None
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload if byte_limit is None else payload[:byte_limit])
        self.close_connection = self.close_connection or byte_limit is not None


def _body(raw: bytes, headers: Any) -> Any:
    kind = headers.get("Content-Type", "")
    if kind.startswith("multipart/form-data"):
        parts = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw).get_payload()
        return {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True).decode()
            for part in parts
        }
    with contextlib.suppress(ValueError):
        return json.loads(raw) if raw else None
    return raw


def ranged(content: bytes, tag: str, request: Request) -> Answer:
    """A download that can be resumed."""
    byte_range = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    headers = {"X-Download": "1", "ETag": tag, "Content-Type": "application/octet-stream"}
    if byte_range and request.headers.get("If-Range", tag) == tag:
        start = int(byte_range[1])
        return 206, content[start:], {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
    return 200, content, headers


S = TypeVar("S", bound=StandIn)


@contextlib.contextmanager
def serving(service: S) -> Iterator[S]:
    """The service on a free port of this machine, until the block ends."""
    handler = type("Handler", (_Handler,), {"service": service})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
