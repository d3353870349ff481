# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels of a few lines, and package indexes on this computer that serve them or fail in their own way."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote


def write_wheel(
    folder: Path, name: str, version: str, modules: dict[str, str], tag: str = "py3", needs: str = ""
) -> Path:
    """A wheel with a few lines of Python."""
    info = f"{name}-{version}.dist-info"
    requirement = f"Requires-Dist: {needs}\n" if needs else ""
    path = folder / f"{name}-{version}-{tag}-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for module, text in modules.items():
            wheel.writestr(module, text)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirement}")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


class Index:
    """A package index over HTTP. go: while it is clear, the big file comes no further than half."""

    def __init__(self, folder: Path, status: int, big: str, tls: ssl.SSLContext | None) -> None:
        self.go = threading.Event()
        self.go.set()
        self.asked: list[str] = []
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_words: object) -> None:
                pass

            def do_GET(self) -> None:
                index.asked.append(f"{self.command} {self.path}")
                content = b"" if status != 200 else index.content(folder, unquote(self.path))
                self.send_response(status if content is not None else 404)
                self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/zip")
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                if self.command == "GET" and content:
                    self.send_body(content)

            do_HEAD = do_CONNECT = do_GET

            def send_body(self, content: bytes) -> None:
                half = len(content) // 2 if big and self.path.endswith(big) else 0
                with contextlib.suppress(OSError):
                    self.wfile.write(content[:half])
                    self.wfile.flush()
                    index.go.wait(60 if half else 0)
                    self.wfile.write(content[half:])

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}"

    def content(self, folder: Path, path: str) -> bytes | None:
        """A page with links to the wheels of a package, its metadata, or a wheel."""
        parts = path.strip("/").split("/")
        if path.endswith("/"):
            wheels = sorted(folder.glob(f"{parts[-1].replace('-', '_')}-*.whl"))
            links = "".join(f'<a href="/{one.name}" data-core-metadata="true">{one.name}</a>' for one in wheels)
            return f"<!DOCTYPE html><html><body>{links}</body></html>".encode() if wheels else None
        wheel = folder / parts[-1].removesuffix(".metadata")
        if not wheel.exists():
            return None
        if not path.endswith(".metadata"):
            return wheel.read_bytes()
        with zipfile.ZipFile(wheel) as archive:
            return archive.read("{}-{}.dist-info/METADATA".format(*wheel.name.split("-")[:2]))


@contextlib.contextmanager
def serve_index(
    folder: Path, *, status: int = 200, big: str = "", tls: ssl.SSLContext | None = None
) -> Iterator[Index]:
    """Serve the wheels of a folder; with another status than 200, every answer is that.

    big: how the name of the file ends that `go` holds back.
    """
    index = Index(folder, status, big, tls)
    thread = threading.Thread(target=index.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        index.go.set()
        index.server.shutdown()
        index.server.server_close()
