"""A client of a language server over its standard streams: requests with a deadline, diagnostics by address. No sleeps."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Self

__all__ = ["LanguageServer"]


class LanguageServer:
    """A running server. What it asks for is answered: its settings with `settings`, everything else with null."""

    def __init__(self, command: list[str], settings: dict[str, Any], *, timeout_s: float = 30) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._asked = 0
        self._inbox: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        able = {
            "workspace": {"configuration": True},
            "textDocument": {"completion": {"completionItem": {"documentationFormat": ["markdown", "plaintext"]}}},
        }
        self.info = self.request("initialize", {"processId": None, "rootUri": None, "capabilities": able})["serverInfo"]
        self.notify("initialized", {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.request("shutdown", None)
            self.notify("exit", None)
            self._process.wait(self._timeout_s)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                stream.close()

    def request(self, method: str, params: Any) -> Any:
        """The result of a request; an error of the server is raised."""
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": params})
        answer = self._until(lambda message: message.get("id") == self._asked and "method" not in message, method)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def notify(self, method: str, params: Any) -> None:
        self._send({"method": method, "params": params})

    def open(self, uri: str, text: str) -> list[dict[str, Any]]:
        """Open a document under an address of its own; its diagnostics."""
        item = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})
        published = "textDocument/publishDiagnostics"
        self._until(lambda message: message.get("method") == published and message["params"]["uri"] == uri, published)
        return self._diagnostics[uri]

    def at(self, method: str, uri: str, line: int, character: int) -> Any:
        """The result of a request about a position, from 0."""
        where = {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}}
        return self.request(f"textDocument/{method}", where)

    def _until(self, wanted: Any, what: str) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                message = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"no answer to {what} within {self._timeout_s:g} s") from None
            if message is None:
                raise ConnectionError(f"the server ended with {self._process.wait()} before it answered {what}")
            if message.get("method") == "textDocument/publishDiagnostics":
                self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
            if "method" in message and "id" in message:
                self._send({"id": message["id"], "result": self._answer(message)})
            if wanted(message):
                return message

    def _answer(self, message: dict[str, Any]) -> Any:
        if message["method"] != "workspace/configuration":
            return None
        return [self._settings.get(each.get("section")) for each in message["params"]["items"]]

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0"} | message).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while header := stream.readline():
            length = 0
            while header.strip():
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                header = stream.readline()
            self._inbox.put(json.loads(stream.read(length)))
        self._inbox.put(None)


def file_uri(path: Path) -> str:
    return path.absolute().as_uri()
