"""JSON out of values, by encoders that are made once. Pure.

`json.dumps` makes an encoder in C anew for each call, which takes as long as to encode a small answer. Here it is made once, by the
same class of the standard library with the same settings; where there is none (another Python), the encoder it would come from
is asked. A test holds both to the same texts.
"""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable
from typing import Any

__all__ = ["canonical", "dumped"]

# Not documented, but stable since Python 3.1: what `JSONEncoder.iterencode` itself makes.
_IN_C: Any = getattr(json.encoder, "c_make_encoder", None)


def _once(like: json.JSONEncoder) -> Callable[[Any], str]:
    """What `like.encode` says of values that JSON has, none of them inside of itself."""
    if _IN_C is None:
        return like.encode
    chunks = _IN_C(
        None, like.default, json.encoder.encode_basestring_ascii, None, like.key_separator, like.item_separator,
        like.sort_keys, like.skipkeys, like.allow_nan,
    )  # fmt: skip
    return lambda value: "".join(chunks(value, 0))


#: as `json.dumps` writes it
dumped = _once(json.JSONEncoder())
#: one text for all equal values: keys in order, no blanks
canonical = _once(json.JSONEncoder(sort_keys=True, separators=(",", ":")))
