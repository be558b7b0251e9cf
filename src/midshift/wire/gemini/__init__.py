"""Gemini's generateContent, as it travels: requests, answers, streams of chunks, and errors. A `Wire`.

The model and whether the answer is a stream stand in the path, so a rewritten request may differ there and not in the
body. Google's clients write a body's fields in camelCase, and some of them (`thinking_budget`) in snake case within
it: both are read, and what is rewritten keeps the spelling that it had. A stream is server-sent events only with
`alt=sse`, which Google's own clients always ask for; it has no mark of its end but the finish reason.
Facts: the REST reference of `models.generateContent`, and what google-genai 3.x sends.
Elsewhere: the parts of it (`request`, `answer`, `problems`), token counts (wire.usage).
"""

from midshift.wire.gemini.answer import (
    StreamTail,
    is_error,
    is_ping,
    is_usage_only,
    read_answer,
    read_stream,
    state_in,
    tail,
)
from midshift.wire.gemini.problems import error_body, error_event, model_body, models_body, read_problem
from midshift.wire.gemini.request import GeminiRequest, read_request, unstored

BINDS_STATE = True  # signatures of thoughts

__all__ = [
    "BINDS_STATE",
    "GeminiRequest",
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
