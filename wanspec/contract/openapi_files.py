"""The paths of the mock that stand in for object stores: result files and the upload's form. Pure. None asks for a key."""

from __future__ import annotations

from typing import Any

from wanspec.contract.model import Contract
from wanspec.contract.openapi_replies import TOO_LARGE, text_reply

__all__ = ["file_paths", "said"]

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
XML = "application/xml"
#: media types of results, by the `output.format` of models
FORMATS = {"mp4": "video/mp4", "png": "image/png", "jpeg": "image/jpeg"}


def file_paths(contract: Contract) -> dict[str, Schema]:
    """Where results are fetched from, and where files are sent to."""
    return {"/_results/{task_id}/{file}": {"get": _download(contract)}, "/_upload": {"post": _upload()}}


def _download(contract: Contract) -> Schema:
    formats = {variant.data["output"]["format"] for model in contract.main_models() for variant in model.variants}
    types = [FORMATS[each] for each in FORMATS if each in formats]
    whole = {"ETag": "MD5 of the file, quoted", "Accept-Ranges": "bytes"}
    part = {**whole, "Content-Range": "bytes first-last/all"}
    signed = [("Expires", "epoch seconds"), ("OSSAccessKeyId", "whose signature"), ("Signature", "of path and Expires")]
    return {
        "operationId": "get_result", "tags": ["files"], "summary": "A result file, by the link of its task", "security": [],
        "parameters": [
            {"name": "task_id", "in": "path", "required": True, "schema": TEXT},
            {"name": "file", "in": "path", "required": True, "schema": TEXT, "description": "number from 0 and format, as 0.mp4"},
            *({"name": name, "in": "query", "required": True, "schema": TEXT, "description": text} for name, text in signed),
            {"name": "Range", "in": "header", "schema": TEXT, "description": "one range within the file; else the whole comes"},
            {"name": "x-oss-range-behavior", "in": "header", "schema": TEXT, "description": "standard: 206 or 416, not all"},
            *({"name": name, "in": "header", "schema": TEXT, "description": "tags"} for name in ("If-Match", "If-None-Match")),
            {"name": "If-Range", "in": "header", "schema": TEXT, "description": "the tag of the file that Range is about"},
        ],
        "responses": {
            "200": text_reply("the whole file", *types, headers=whole),
            "206": text_reply("a part of it", *types, headers=part),
            "304": text_reply("it is the one of If-None-Match", headers={"ETag": whole["ETag"]}),
            "403": text_reply("the link has expired, or its signature is wrong", XML),
            "404": text_reply("there is no such task", XML),
            "412": text_reply("it is none of If-Match", XML),
            "416": text_reply("there is no such part", XML, headers={"Content-Range": "bytes */all"}),
            "500": text_reply("a scenario's fault", XML),
            "default": {"$ref": "#/components/responses/any-row"},
        },
    }  # fmt: skip


def said(schema: Schema, text: str) -> Schema:
    """A schema with a description."""
    return {**schema, "description": text}


def _upload() -> Schema:
    form = {
        "type": "object",
        "required": [
            "OSSAccessKeyId",
            "Signature",
            "policy",
            "key",
            "x-oss-object-acl",
            "x-oss-forbid-overwrite",
            "file",
        ],
        "properties": {
            **dict.fromkeys(
                ("OSSAccessKeyId", "Signature", "policy", "x-oss-object-acl", "x-oss-forbid-overwrite"), TEXT
            ),
            "key": said(TEXT, "upload_dir, a slash, a name; `oss://` and this is the file's address"),
            "success_action_status": said(TEXT, "200: answered so; else by 204"),
            "x-oss-content-type": TEXT,
            "file": said(
                TEXT | {"contentMediaType": "application/octet-stream"},
                "what comes behind it is not read",
            ),
        },
    }
    return {
        "operationId": "upload", "tags": ["files"], "summary": "Send a file, with leave of GET /api/v1/uploads", "security": [],
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        "responses": {
            "200": text_reply("the file is there, for two days; the body is empty", "application/octet-stream"),
            "204": text_reply("as 200, to who did not ask for 200"),
            "400": text_reply("the form is not well-formed; without a body where it is no form at all", XML),
            "403": text_reply("the leave has expired, its signature is wrong, or a field is not as it says", XML),
            "409": text_reply("there is a file of this key", XML),
            **TOO_LARGE,
            "default": {"$ref": "#/components/responses/any-row"},
        },
    }  # fmt: skip
