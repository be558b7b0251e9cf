"""Neutral requests, answers and events that OpenAI's wires can say, for the tests of both translations."""

from collections.abc import Callable, Iterable

from hypothesis import strategies as st

from midshift.domain.usage import Usage
from midshift.wire.translation.conversation import (
    Began,
    Choice,
    Conversation,
    Ended,
    Event,
    EventReader,
    JsonFormat,
    Media,
    Named,
    Reply,
    Role,
    Stop,
    Text,
    TextDelta,
    Tool,
    ToolBegan,
    ToolCall,
    ToolDelta,
    ToolResult,
    Turn,
)

WORDS = st.text(min_size=1, max_size=8)
NAMES = st.text(alphabet="abcdefg_", min_size=1, max_size=6)
COUNTS = st.integers(0, 10_000)
SCHEMAS = st.sampled_from([{"type": "object"}, {"type": "object", "properties": {"a": {"type": "string"}}}])
TEXTS = st.builds(Text, WORDS)
IMAGES = st.builds(Media, st.just("image"), st.just("image/png"), st.just("aGk=")) | st.just(
    Media("image", url="https://example.com/a.png")
)
CALLS = st.builds(ToolCall, NAMES, NAMES, st.sampled_from(["{}", '{"a": 1}', "not json"]))
STOPS = st.sampled_from([Stop.END, Stop.LENGTH, Stop.REFUSED])
USAGES = st.builds(
    Usage,
    tokens_in=COUNTS,
    tokens_out=COUNTS,
    cached_in=COUNTS,  # the Responses API has no word for an unknown one, nor for the next two
    cache_write_in=COUNTS,
    reasoning_out=COUNTS,
    service_tier=st.sampled_from([None, "default", "flex"]),
)


@st.composite
def conversations(draw: st.DrawFn, some: Callable[[st.DrawFn], dict[str, object]] = lambda _: {}) -> Conversation:
    """A request: users and assistants in turn, calls with the answers to them; `some` draws further fields."""
    turns: list[Turn] = []
    for _ in range(draw(st.integers(1, 3))):
        turns.append(Turn(Role.USER, tuple(draw(st.lists(TEXTS | IMAGES, min_size=1, max_size=3)))))
        calls = draw(st.lists(CALLS, max_size=2, unique_by=lambda call: call.id))
        words = draw(st.lists(TEXTS, min_size=0 if calls else 1, max_size=1))
        turns.append(Turn(Role.ASSISTANT, (*words, *calls)))
        if calls:
            turns.append(Turn(Role.USER, tuple(ToolResult(call.id, (draw(TEXTS),), name=call.name) for call in calls)))
    fields: dict[str, object] = {
        "system": draw(st.none() | WORDS),
        "tools": tuple(draw(st.lists(st.builds(Tool, NAMES, st.none() | WORDS, SCHEMAS, st.booleans()), max_size=2))),
        "tool_choice": draw(st.none() | st.sampled_from(Choice) | st.builds(Named, NAMES)),
        "parallel_tools": draw(st.none() | st.booleans()),
        "format": draw(st.none() | st.just(JsonFormat()) | st.builds(JsonFormat, SCHEMAS, NAMES, st.booleans())),
        "max_tokens": draw(st.none() | st.integers(1, 99)),
        "temperature": draw(st.none() | st.sampled_from([0.0, 0.5, 1.0])),
        "top_p": draw(st.none() | st.sampled_from([0.1, 1.0])),
        "effort": draw(st.none() | st.sampled_from(["none", "low", "max"])),
        "user": draw(st.none() | WORDS),
        "stream": draw(st.booleans()),
        **some(draw),
    }
    return Conversation(draw(NAMES), tuple(turns), **fields)  # type: ignore[arg-type]


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """An answer: words, then calls."""
    calls = tuple(draw(st.lists(CALLS, max_size=2)))
    words = tuple(draw(st.lists(TEXTS, min_size=0 if calls else 1, max_size=1)))
    stop = Stop.TOOL_CALLS if calls else draw(STOPS)
    return Reply(draw(NAMES), draw(NAMES), (*words, *calls), stop, draw(USAGES), draw(st.none() | WORDS))


@st.composite
def event_sequences(draw: st.DrawFn) -> list[Event]:
    """A stream: words, then calls whose pieces interleave."""
    events: list[Event] = [Began(draw(NAMES), draw(NAMES))]
    events += [TextDelta(text) for text in draw(st.lists(WORDS, max_size=3))]
    count = draw(st.integers(0, 3))
    for index in range(count):
        events.append(ToolBegan(index, f"call_{index}", draw(NAMES)))
        pieces = draw(st.lists(st.tuples(st.integers(0, index), WORDS), max_size=3))
        events += [ToolDelta(at, text) for at, text in pieces]
    stop = Stop.TOOL_CALLS if count else draw(STOPS)
    return [*events, Ended(stop, draw(USAGES))]


def in_pieces(stream: bytes, places: Iterable[int], reader: EventReader) -> list[Event]:
    """What a reader makes of a stream that is cut at these places."""
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    events = [event for begin, end in zip(edges, edges[1:], strict=False) for event in reader.feed(stream[begin:end])]
    return [*events, *reader.end()]
