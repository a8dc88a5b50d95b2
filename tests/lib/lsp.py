"""A client of a language server over its standard streams: requests with a deadline, diagnostics as they come. No sleeps."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, Self

__all__ = ["LanguageServer"]

Message = dict[str, Any]
PUBLISH = "textDocument/publishDiagnostics"


class LanguageServer:
    """A running server. When it asks for its settings it gets `settings`, by section; every other question gets null."""

    def __init__(self, command: list[str], settings: Message, *, timeout_s: float = 30) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._asked = 0
        self._inbox: queue.Queue[Message | None] = queue.Queue()
        self._published: dict[str, list[Message]] = {}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        documentation = {"completionItem": {"documentationFormat": ["markdown", "plaintext"]}}
        able = {"workspace": {"configuration": True}, "textDocument": {"completion": documentation}}
        hello = self.request("initialize", {"processId": None, "rootUri": None, "capabilities": able})
        self.version = hello.get("serverInfo", {}).get("version", "")
        self.notify("initialized", {})
        self._until(lambda message: message.get("method") == "workspace/configuration", "its settings")

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

    def open(self, uri: str, text: str) -> None:
        """Show the server a document. An address is opened once."""
        item = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def diagnostics(self, uri: str) -> list[Message]:
        """The diagnostics of a document that was opened."""
        self._until(lambda _: uri in self._published, f"{PUBLISH} of {uri}")
        return self._published[uri]

    def at(self, method: str, uri: str, line: int, character: int) -> Any:
        """The result of a request about a position, which is counted from 0."""
        where = {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}}
        return self.request(f"textDocument/{method}", where)

    def _until(self, wanted: Callable[[Message], bool], what: str) -> Message:
        deadline = time.monotonic() + self._timeout_s
        if wanted({}):
            return {}
        while True:
            try:
                message = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"nothing about {what} within {self._timeout_s:g} s") from None
            if message is None:
                raise ConnectionError(f"the server ended with {self._process.wait()}, waiting for {what}")
            if "method" in message and "id" in message:
                self._send({"id": message["id"], "result": self._answer(message)})
            if message.get("method") == PUBLISH:
                self._published[message["params"]["uri"]] = message["params"]["diagnostics"]
            if wanted(message):
                return message

    def _answer(self, message: Message) -> Any:
        if message["method"] != "workspace/configuration":
            return None
        sections = [each.get("section") for each in message["params"]["items"]]
        return [self._settings.get(section) for section in sections]

    def _send(self, message: Message) -> None:
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
