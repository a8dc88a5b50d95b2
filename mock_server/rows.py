"""Rows of the error catalogue as answers, and the words in which they are said. Pure.

A row is said in the manner of the surface: JSON by the API, XML by the stores that take uploads and keep results, a page of HTML
by a gateway; a row without a status is a connection that ends. Where a row knows no text, the least that it would be told by is
said.
"""

from __future__ import annotations

import re

from mock_server.answers import Answer, first_code, xml
from wanspec.contract import Fault

__all__ = ["DOWN_S", "code_of", "page", "refusal", "text_of"]

#: how long nobody listens, when nothing else is said
DOWN_S = 1.0
#: what becomes of the connection, by what the row is known by
_ENDS = (("refused", "down"), ("broken pipe", "reset"), ("reset", "reset"))
_STATUS_CODES = {401: "InvalidApiKey", 403: "AccessDenied", 404: "NotFound", 405: "MethodNotAllowed", 429: "Throttling"}


def refusal(
    row: Fault, request_id: str, *, is_store: bool = False, status: int | None = None, code: str | None = None,
    message: str | None = None, retry_after_s: float | None = None, task_id: str = "",
) -> Answer:  # fmt: skip
    """What the service says for a row; on a store of files in XML."""
    said = status if status is not None else next((each for each in row.http if each is not None), None)
    headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
    if said is None:
        words = (row.pattern or "").lower()
        then = next((end for word, end in _ENDS if word in words), "close")
        return Answer(then=then, delay_s=DOWN_S if then == "down" else 0.0)
    if row.pattern is not None and re.search(row.pattern, "<html>"):
        return page(said, headers=headers)
    code, message = code or code_of(row, said), message or text_of(row)
    if is_store:
        return xml(said, code, message)
    if said < 400:  # an answer in good faith that has nothing in it
        output = {"code": code, "message": message} if row.code else {}
        if row.task_status:
            output = {"task_id": task_id, "task_status": row.task_status}
        return Answer(status=said, json={"output": output, "request_id": request_id}, headers=headers)
    return Answer(status=said, json={"code": code, "message": message, "request_id": request_id}, headers=headers)


def page(status: int, *, headers: dict[str, str] | None = None) -> Answer:
    """A page of a gateway in front of the service."""
    name = {502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}.get(status, "Error")
    text = f"<html><head><title>{status} {name}</title></head><body>{status} {name}</body></html>"
    return Answer(status=status, body=text.encode(), content_type="text/html", headers=headers or {})


def code_of(row: Fault, status: int | None = None) -> str:
    """The code that a row shows; of several the first."""
    if row.code is None:
        return _STATUS_CODES.get(status or 0, "Unexpected")
    code = first_code(row.code)
    if row.code.startswith("re:") and re.search(row.code[3:], code) is None:
        code += ".Other"  # the row is for what stands behind the dot
    return code


def text_of(row: Fault) -> str:
    """The service's words for a row."""
    if row.message and (row.pattern is None or re.search(row.pattern, row.message)):
        return row.message
    return row.message or "refused by the mock's scenario"
