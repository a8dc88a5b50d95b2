"""The contract: what every model of the service accepts, answers and costs, as data, and pure readers of it.

    models/*.yaml, service.yaml, errors.yaml --load--> Contract --check.Checker--> Findings
                                                        └─ Model: path, regions, fields, rules, result, price, limits

Nothing about a model is written anywhere else: the editor schema, the check of a spec, the mock and the prices are all
read from here. Adding a model is adding data. This package (with `wanspec.errors`, `problem` and `source` below it) is
all that `mock_server` may import of wanspec.
"""

from wanspec.contract.check import Checker, Finding
from wanspec.contract.faults import Fault, Retry
from wanspec.contract.load import load_contract
from wanspec.contract.media import LocalMedia, MediaFacts
from wanspec.contract.model import Contract, Model, Variant

__all__ = [
    "Checker",
    "Contract",
    "Fault",
    "Finding",
    "LocalMedia",
    "MediaFacts",
    "Model",
    "Retry",
    "Variant",
    "load_contract",
]
