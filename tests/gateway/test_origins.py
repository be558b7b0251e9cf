"""Where state was made, and who may go on from it: the memory of it, and the decision as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.routing import Arm, Route
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.gateway.origins import (
    Carriage,
    Choice,
    Held,
    Origin,
    Origins,
    Watched,
    carriage,
    choice,
    may_be_anothers,
    not_ones_own,
)
from midshift.gateway.route import ServedVariant, Serving
from midshift.wire.protocol import WireName
from midshift.wire.wires import WIRES

CHAT, RESPONSES, ANTHROPIC, GEMINI = WireName

OLD = ServedVariant.of(Variant("one", "old"))
NEW = ServedVariant.of(Variant("two", "new"))
NEAR = ServedVariant.of(Variant("one", "newer"))
PROMPTED = ServedVariant.of(Variant("one", "old", Prompt(PromptMode.REPLACE, "Be brief.")))
GONE = Origin("0" * 64, "two", "gone")
GONE_NEAR = Origin("1" * 64, "one", "gone")
SIGNATURE, RESPONSE, FILE = "input.0.encrypted_content", "previous_response_id", "input.0.content.0.file_id"


def a_serving(candidate: ServedVariant | None = NEW, share: float = 0.5, rings: tuple[str, ...] = ()) -> Serving:
    route = Route("w", OLD.id, 1, candidate.id if candidate else None, share if candidate else 0.0, rings=rings)
    return Serving(route, OLD, candidate)


def held(field: str, origin: Origin | None) -> Held:
    return Held(field, f"token of {field}", origin)


def kept(items: Sequence[Held]) -> frozenset[str]:
    """What stays in a request that is stripped: all but encrypted reasoning."""
    return frozenset(item.token for item in items if item.field != SIGNATURE)


AT_OLD, AT_NEW = Origin.at(OLD), Origin.at(NEW)
STAYS_OLD, STAYS_NEW = Choice(Arm.INCUMBENT, stayed=True), Choice(Arm.CANDIDATE, stayed=True)

CHOICES: dict[str, tuple[Serving, Arm, list[Held], Choice]] = {
    "nothing is held": (a_serving(), Arm.CANDIDATE, [], Choice(Arm.CANDIDATE)),
    "its own": (a_serving(), Arm.CANDIDATE, [held(SIGNATURE, AT_NEW)], Choice(Arm.CANDIDATE)),
    "a ramp moved the unit": (a_serving(), Arm.CANDIDATE, [held(SIGNATURE, AT_OLD)], STAYS_OLD),
    "a share went down": (a_serving(), Arm.INCUMBENT, [held(SIGNATURE, AT_NEW)], STAYS_NEW),
    "the last one counts": (
        a_serving(),
        Arm.CANDIDATE,
        [held(SIGNATURE, AT_OLD), held(SIGNATURE, AT_NEW)],
        Choice(Arm.CANDIDATE),
    ),
    "a response id counts for more": (
        a_serving(),
        Arm.CANDIDATE,
        [held(RESPONSE, AT_OLD), held(SIGNATURE, AT_NEW)],
        STAYS_OLD,
    ),
    "only the prompt differs": (a_serving(PROMPTED), Arm.CANDIDATE, [held(SIGNATURE, AT_OLD)], Choice(Arm.CANDIDATE)),
    "the candidate has gone": (a_serving(None), Arm.INCUMBENT, [held(SIGNATURE, AT_NEW)], Choice(Arm.INCUMBENT)),
    "the candidate is only shadowed": (
        a_serving(share=0.0),
        Arm.INCUMBENT,
        [held(SIGNATURE, AT_NEW)],
        Choice(Arm.INCUMBENT),
    ),
    "a ring keeps the candidate live": (
        a_serving(share=0.0, rings=("staff",)),
        Arm.INCUMBENT,
        [held(SIGNATURE, AT_NEW)],
        STAYS_NEW,
    ),
    "an id of a provider that serves no more": (
        a_serving(None),
        Arm.INCUMBENT,
        [held(RESPONSE, GONE)],
        Choice(Arm.INCUMBENT, stuck=RESPONSE),
    ),
    "an id of a variant that has gone, at a provider that serves": (
        a_serving(),
        Arm.CANDIDATE,
        [held(RESPONSE, GONE_NEAR)],
        STAYS_OLD,
    ),
    "an id of the same provider": (a_serving(NEAR), Arm.CANDIDATE, [held(RESPONSE, GONE_NEAR)], Choice(Arm.CANDIDATE)),
    "a file was uploaded to the app's provider": (a_serving(), Arm.CANDIDATE, [held(FILE, None)], STAYS_OLD),
    "a file at the same provider": (a_serving(NEAR), Arm.CANDIDATE, [held(FILE, None)], Choice(Arm.CANDIDATE)),
    "an unknown signature": (a_serving(), Arm.CANDIDATE, [held(SIGNATURE, None)], Choice(Arm.CANDIDATE)),
    "an unknown response": (a_serving(), Arm.CANDIDATE, [held(RESPONSE, None)], Choice(Arm.CANDIDATE)),
}


@pytest.mark.parametrize(("serving", "assigned", "items", "expected"), CHOICES.values(), ids=CHOICES)
def test_who_is_asked_first(serving: Serving, assigned: Arm, items: list[Held], expected: Choice) -> None:
    """The arm that was assigned, unless what is held keeps the request with the other, which is still live."""
    assert expected == choice(items, assigned, serving, RESPONSES, lambda: kept(items))


CARRIAGES: dict[str, tuple[list[Held], ServedVariant, WireName, bool, Carriage]] = {
    "its own": ([held(SIGNATURE, AT_OLD)], OLD, RESPONSES, True, Carriage()),
    "another model's": ([held(SIGNATURE, AT_NEW)], OLD, RESPONSES, False, Carriage(strip=True)),
    "another prompt's": ([held(SIGNATURE, AT_OLD)], PROMPTED, RESPONSES, False, Carriage()),
    "another prompt's, on Gemini's wire": ([held(SIGNATURE, AT_OLD)], PROMPTED, GEMINI, False, Carriage()),
    "another prompt's, on Anthropic's wire": ([held(SIGNATURE, AT_OLD)], PROMPTED, ANTHROPIC, False, Carriage(True)),
    "unknown, and its own": ([held(SIGNATURE, None)], OLD, RESPONSES, False, Carriage()),
    "unknown, and may be another's": ([held(SIGNATURE, None)], OLD, RESPONSES, True, Carriage(strip=True)),
    "an unknown id": ([held(RESPONSE, None)], OLD, RESPONSES, True, Carriage()),
    "an id of another provider": ([held(RESPONSE, AT_NEW)], OLD, RESPONSES, False, Carriage(stuck=RESPONSE)),
    "an id of the same provider": ([held(RESPONSE, AT_OLD)], NEAR, RESPONSES, False, Carriage()),
    "an id and a signature": (
        [held(RESPONSE, AT_OLD), held(SIGNATURE, AT_OLD)],
        NEAR,
        RESPONSES,
        False,
        Carriage(strip=True),
    ),
}


@pytest.mark.parametrize(("items", "served", "wire", "unknown", "expected"), CARRIAGES.values(), ids=CARRIAGES)
def test_how_state_goes_to_a_variant(
    items: list[Held], served: ServedVariant, wire: WireName, unknown: bool, expected: Carriage
) -> None:
    """What it cannot read is left out where the request is valid without it; a vendor refuses it whole otherwise."""
    assert expected == carriage(items, served, wire, unknown, lambda: kept(items))


@pytest.mark.parametrize(
    ("serving", "served", "assigned", "is_stable", "wire", "expected"),
    [
        (a_serving(), OLD, Arm.INCUMBENT, True, RESPONSES, False),
        (a_serving(), OLD, Arm.INCUMBENT, False, RESPONSES, True),
        (a_serving(), NEW, Arm.CANDIDATE, True, RESPONSES, True),
        (a_serving(), OLD, Arm.CANDIDATE, True, RESPONSES, True),
        (a_serving(PROMPTED), PROMPTED, Arm.CANDIDATE, True, RESPONSES, False),
        (a_serving(PROMPTED), PROMPTED, Arm.CANDIDATE, True, ANTHROPIC, True),
        (a_serving(None), OLD, Arm.INCUMBENT, False, ANTHROPIC, False),
        (a_serving(share=0.0), OLD, Arm.INCUMBENT, False, ANTHROPIC, False),
    ],
)
def test_unknown_state_is_anothers_only_where_there_is_another(
    serving: Serving, served: ServedVariant, assigned: Arm, is_stable: bool, wire: WireName, expected: bool
) -> None:
    """A ramp only adds units: who has the incumbent now never had the candidate."""
    assert expected is may_be_anothers(serving, served, assigned, is_stable, wire)


def test_nothing_is_written_anew_for_state_that_passes() -> None:
    """To write and read a request of megabytes again is for those that need it."""

    def dear() -> frozenset[str]:
        raise AssertionError

    assert Carriage() == carriage([held(SIGNATURE, AT_OLD)], OLD, RESPONSES, True, dear)


def test_an_id_is_its_own_clients_and_a_signature_is_whoever_has_it() -> None:
    """An id is short and can be guessed or overheard; who has a signature has the thoughts that it belongs to."""
    anns = Origin("v", "p", "m", client="ann")

    assert held(RESPONSE, anns) == not_ones_own([held(SIGNATURE, anns), held(RESPONSE, anns)], "bob")
    assert not_ones_own([held(RESPONSE, anns)], "ann") is None
    assert not_ones_own([held(RESPONSE, None), held(SIGNATURE, anns)], "bob") is None


def test_the_longest_unused_tokens_are_let_go() -> None:
    """Memory is bounded however long a gateway runs; what is in use stays."""
    origins = Origins(3)
    origins.remember(["a", "b", "c"], AT_OLD)
    assert AT_OLD == origins.of("a")

    origins.remember(["d"], AT_NEW)

    assert [AT_OLD, None, AT_OLD, AT_NEW] == [origins.of(token) for token in "abcd"]
    assert 3 == len(origins)


def test_a_token_belongs_to_the_last_answer_that_held_it() -> None:
    """A conversation's id comes with each of its answers."""
    origins = Origins(3)
    origins.remember(["conv_1"], AT_OLD)
    origins.remember(["conv_1"], AT_NEW)

    assert AT_NEW == origins.of("conv_1")


EVENTS = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"signature_delta",'
    b'"signature":"Er-signature\\u003d"}}\n\n'
    b'data: {"type":"content_block_start","content_block":{"type":"redacted_thinking","data":"redacted-data"}}\n\n'
    b'data: {"type":"content_block_delta","delta":{"text":"\\"signature\\": \\"no-signature\\""}}\n\n'
    b'data: {"type":"message_delta","delta":{"container":{"id":"container_0123"}}}'
)


@given(st.lists(st.integers(0, len(EVENTS)), max_size=8).map(sorted))
def test_any_chunking_of_a_stream_shows_the_same_tokens(cuts: list[int]) -> None:
    """A signature that lies across two chunks is as good as any; what a model wrote about signatures is none."""
    origins = Origins(100)
    watched = Watched(origins, AT_NEW, WIRES[ANTHROPIC])
    for begin, end in zip([0, *cuts], [*cuts, len(EVENTS)], strict=True):
        watched.feed(EVENTS[begin:end])
    watched.end()

    found = [token for token in ("Er-signature=", "redacted-data", "container_0123") if origins.of(token) == AT_NEW]
    assert ["Er-signature=", "redacted-data", "container_0123"] == found
    assert 3 == len(origins)


def test_an_endless_line_does_not_fill_the_memory() -> None:
    """A picture within an answer."""
    watched = Watched(Origins(100), AT_NEW, WIRES[GEMINI])
    for _ in range(40):
        watched.feed(b"x" * 100_000)

    assert len(watched._rest) <= 1 << 20


@pytest.mark.parametrize(
    ("wire", "body", "expected"),
    [
        (CHAT, b'{"id":"chatcmpl-0123456","choices":[]}', []),
        (
            RESPONSES,
            b'{"id": "resp_0123456", "output":[{"id":"rs_0123456","encrypted_content":"gAAA/+==x"},{"id":"x"}]}',
            ["resp_0123456", "rs_0123456", "gAAA/+==x"],
        ),
        (GEMINI, b'{"parts":[{"thoughtSignature":"CiQBxx\\u003d\\u003dx"},{"thought_signature":"snakesnake"}]}', 2),
        (ANTHROPIC, b'{"id":"msg_0123456","content":[{"type":"tool_use","id":"toolu_0123456"}]}', ["msg_0123456"]),
        (GEMINI, b'{"thoughtSignature":"\xff\xff\xff\xff\xff\xff\xff\xff"}', []),
    ],
)
def test_each_wire_knows_its_own_tokens(wire: WireName, body: bytes, expected: list[str] | int) -> None:
    """As the app reads them: an escape stands for what it means."""
    found = WIRES[wire].state_in(body)

    assert expected == (len(found) if isinstance(expected, int) else found)
