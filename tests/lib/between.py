"""What stands between the runner and the mock in a test: for words that no scenario can say.

A scenario says everything that the service is known to do, and the trouble that can befall a call. A body of another form than the
service's, a status that nobody has seen yet, half a character: these the mock cannot be told to say, and should not be. Here a test
says them, on the way, and the mock stays as it is. Whatever a scenario can say is said by one.
"""

from __future__ import annotations

from collections.abc import Callable

from mock_server.answers import Answer, Call

__all__ = ["Instead", "Reworded", "as_it_is", "is_list", "is_query", "is_quota", "nobody"]

#: answers a call, which then never reaches the mock; None lets it through
Instead = Callable[[Call, float], Answer | None]
#: what becomes of the mock's own answer
Reworded = Callable[[Call, Answer], Answer]


def nobody(call: Call, now: float) -> None:
    """Every call is the mock's."""


def as_it_is(call: Call, answer: Answer) -> Answer:
    return answer


def is_list(call: Call) -> bool:
    return call.method == "GET" and call.path.rstrip("/") == "/api/v1/tasks"


def is_query(call: Call) -> bool:
    return call.method == "GET" and "/tasks/" in call.path


def is_quota(call: Call) -> bool:
    return call.path.endswith(("/quotas", "/models/limits"))
