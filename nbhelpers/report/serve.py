"""The report on this machine alone: a web server on the loopback address."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"  # no other machine can ask


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        """No line for every file."""


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of the files in `folder`; port 0: one that is free. OSError where `port` is taken."""
    return ThreadingHTTPServer((HOST, port), partial(_Quiet, directory=str(folder)))


def serve(folder: Path, port: int = 0) -> None:
    """Serve the report in `folder` until it is interrupted, and say where."""
    with server(folder, port) as running:
        print(f"http://{HOST}:{running.server_port}/index.html (Ctrl-C ends it)", flush=True)
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            print()
