"""One video through LazyLLM: `lazy_video.py ORIGIN` with LAZYLLM_ALLOW_INTERNAL_NETWORK=True; prints where the file is as JSON."""

import json
import sys

from lazyllm.components.formatter import decode_query_with_filepaths
from lazyllm.module.llms.onlinemodule.supplier.qwen import QwenText2Video

module = QwenText2Video(api_key="sk-lazy", model="wan2.6-t2v", url=sys.argv[1])
answer = module("a red fox", resolution="720p", duration=5, poll_interval=0.2, timeout=60)
print(json.dumps({"files": decode_query_with_filepaths(answer)["files"]}))
