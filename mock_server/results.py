"""Result files and uploads of the mock: signed links that expire, what stands behind them, and the temporary upload.

A link carries `Expires` and `Signature`; past the one or with a wrong other the answer is the XML of an object store. Of an
upload only digest and shape are kept. Paths are looked up, never opened. Pure; time comes in.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from mock_server.answers import Answer, Call, Picture, Seeded, number, ok, xml
from mock_server.tasks import Task

__all__ = ["Results"]

_KEY_ID = "mock"
#: what a policy says of the form beside its directory
_CONDITIONS = {"x-oss-object-acl": "private", "x-oss-forbid-overwrite": "true"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What is kept of an uploaded file."""

    at: float
    sha256: str
    shape: float | None
    model: str


class Results:
    """Links to results and the uploads of one mock."""

    def __init__(self, seeded: Seeded, upload: Mapping[str, Any], shape_of: Callable[[bytes], float | None]) -> None:
        self._seeded = seeded
        self._upload = upload
        self._shape_of = shape_of
        self._policies = 0
        self._uploads: dict[str, Upload] = {}
        #: leave to upload: directory -> (when it was given, for which model)
        self._leave: dict[str, tuple[float, str]] = {}

    def shape(self, key: str) -> float | None:
        """Width over height of an uploaded picture."""
        known = self._uploads.get(key)
        return known.shape if known else None

    def is_readable(self, key: str, model: str, now: float) -> bool:
        """Whether a request for a model may use an upload: it is there, of that model, and not too old."""
        known = self._uploads.get(key)
        return known is not None and known.model == model and now - known.at <= self._upload["link_s"]

    def link(self, origin: str, task: Task, index: int, expires: int) -> str:
        """The address of a result, good until `expires`."""
        form = task.made.format
        name = f"{task.id}/{index}.{'jpg' if form == 'jpeg' else form}"
        signature = quote(self._signature(name, expires), safe="")
        return f"{origin}/_results/{name}?Expires={expires}&OSSAccessKeyId=mock&Signature={signature}"

    def _signature(self, name: str, expires: int) -> str:
        secret = f"results/{self._seeded.seed}".encode()
        return hmac.new(secret, f"{name}\n{expires}".encode(), hashlib.sha256).hexdigest()[:27] + "="

    def download(self, call: Call, path: str, tasks: Iterable[Mapping[str, Task]], now: float) -> Answer:
        """What stands behind a link."""
        name = path.removeprefix("/_results/")
        expires = number(call.query.get("Expires"), 0)
        if call.method not in ("GET", "HEAD"):  # a link is signed for a verb
            return xml(403, "SignatureDoesNotMatch", "The request signature does not match.")
        if not hmac.compare_digest(call.query.get("Signature", "").encode(), self._signature(name, expires).encode()):
            return xml(403, "SignatureDoesNotMatch", "The request signature does not match.")
        if now > expires:
            return xml(403, "AccessDenied", "Request has expired.")
        task_id, _, file = name.partition("/")
        task = next((each[task_id] for each in tasks if task_id in each), None)
        if task is None or not re.fullmatch(r"[0-9]{1,3}\.[a-z0-9]{1,5}", file):
            return xml(404, "NoSuchKey", "The specified key does not exist.")
        made, given = task.made, task.body.get("parameters") or {}
        prompt = task.body["input"].get("prompt")
        seed = given.get("seed") if isinstance(given, dict) else None
        base = seed if isinstance(seed, int) and not isinstance(seed, bool) else task.number
        picture = Picture(
            format=made.format, width=made.width, height=made.height, seconds=made.seconds, sound=made.sound,
            model=task.model, prompt=prompt if isinstance(prompt, str) else "", seed=base + number(file.partition(".")[0], 0),
        )  # fmt: skip
        return Answer(picture=picture, content_type={"mp4": "video/mp4"}.get(picture.format, f"image/{picture.format}"))

    def policy(self, call: Call, now: float) -> Answer:
        """Leave to upload one file for some minutes."""
        upload = self._upload
        self._policies += 1
        nth = self._policies
        directory = f"dashscope-instant/{self._seeded.uuid(f'upload/{nth}')}"
        self._leave[directory] = (now, call.query.get("model", ""))
        self._forget(now)
        return ok(
            {
                "request_id": self._seeded.uuid(f"policy/{nth}"),
                "data": {
                    "policy": f"mock-{int(now + upload['policy_s'])}",
                    "signature": self._signature(directory, int(now + upload["policy_s"])),
                    "upload_dir": directory,
                    "upload_host": f"{call.origin}/_upload",
                    "expire_in_seconds": upload["policy_s"],
                    "max_file_size_mb": upload["max_mb"],
                    "capacity_limit_mb": 999999999,
                    "oss_access_key_id": _KEY_ID,
                    **{name.replace("-", "_"): value for name, value in _CONDITIONS.items()},
                },
            }
        )

    def upload(self, fields: Mapping[str, str], data: bytes | None, now: float) -> Answer:
        """The form that a client posts to `upload_host`; `fields` are those before the file."""
        key, policy = fields.get("key", ""), fields.get("policy", "")
        expires = number(policy.removeprefix("mock-"), 0)
        directory = key.rpartition("/")[0]
        if data is None or not key or ".." in key:
            return xml(
                400, "MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data."
            )
        if fields.get("OSSAccessKeyId") != _KEY_ID:
            return xml(403, "InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist in our records.")
        if fields.get("Signature", "") != self._signature(directory, expires):
            return xml(403, "SignatureDoesNotMatch", "The request signature does not match.")
        if now > expires:
            return xml(403, "AccessDenied", "Invalid according to Policy: Policy expired.")
        for name, value in _CONDITIONS.items():
            if fields.get(name) != value:
                what = f'["eq", "${name}", "{value}"]'
                return xml(403, "AccessDenied", f"Invalid according to Policy: Policy Condition failed: {escape(what)}")
        if key in self._uploads:
            return xml(409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten.")
        if len(data) > self._upload["max_mb"] * 2**20:
            return xml(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
        _, model = self._leave.get(directory, (now, ""))
        digest = hashlib.sha256(data).hexdigest()
        self._uploads[key] = Upload(at=now, sha256=digest, shape=self._shape_of(data), model=model)
        self._forget(now)
        status = 200 if fields.get("success_action_status") == "200" else 204
        return Answer(status=status, content_type="application/octet-stream")

    def _forget(self, now: float) -> None:
        """Drop what nobody may use any more; both are in the order of time."""
        while self._leave and next(iter(self._leave.values()))[0] + 2 * self._upload["policy_s"] < now:
            self._leave.pop(next(iter(self._leave)))
        while self._uploads and next(iter(self._uploads.values())).at + self._upload["link_s"] < now:
            self._uploads.pop(next(iter(self._uploads)))

    # ---- as data

    def dump(self) -> dict[str, Any]:
        return {
            "policies": self._policies,
            "uploads": {key: dataclasses.asdict(each) for key, each in self._uploads.items()},
            "leave": {directory: list(each) for directory, each in self._leave.items()},
        }

    def load(self, data: Mapping[str, Any]) -> None:
        self._policies = data["policies"]
        self._uploads = {key: Upload(**each) for key, each in data["uploads"].items()}
        self._leave = {directory: (at, model) for directory, (at, model) in data["leave"].items()}
