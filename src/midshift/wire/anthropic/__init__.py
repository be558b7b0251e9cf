"""Anthropic Messages, as they travel: requests, answers, streams of events, and errors. A `Wire`.

The base URL of a provider has no `/v1`, so a target begins with it. What a request says in the body is the same in the
API versions 2023-06-01 and 2026-10-21; the later one refuses `temperature`, `top_p` and `top_k`, documents in
assistant messages, and citations on a user's text (Anthropic's page on API versions). Both pass through unchanged:
the version is a header, and whoever sends one forwards it.
Facts are from Anthropic's API reference and from the types of its Python SDK, 0.121 and 2.12.
Elsewhere: the prompt's and the effort's rules (`request`, `effort`, `state`), what comes back (`answer`), errors and
lists of models (`problems`).
"""

from midshift.wire.anthropic.answer import (
    StreamTail,
    is_error,
    is_ping,
    is_usage_only,
    read_answer,
    read_stream,
    tail,
)
from midshift.wire.anthropic.problems import error_body, error_event, model_body, models_body, read_problem
from midshift.wire.anthropic.request import COUNT_PATH, PATH, MessagesRequest, read_request, unstored
from midshift.wire.anthropic.state import state_in

BINDS_STATE = True  # signatures of thinking, ids of containers

__all__ = [
    "BINDS_STATE",
    "COUNT_PATH",
    "PATH",
    "MessagesRequest",
    "StreamTail",
    "error_body",
    "error_event",
    "is_error",
    "is_ping",
    "is_usage_only",
    "model_body",
    "models_body",
    "read_answer",
    "read_problem",
    "read_request",
    "read_stream",
    "state_in",
    "tail",
    "unstored",
]
