"""What a user may see when, case by case: a rule that lets one of these pass proves nothing in half an hour."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, cast

import pytest

from midshift.domain.exposure import Exposure, Fate
from midshift.domain.routing import Arm
from tests.cli.chaos_apps import Instance, Manner, Saw, Seen
from tests.cli.chaos_rules import NEW, OLD, Asked, How, faults

SAID = "Your parcel is on its way."
ALONE = Asked(OLD, 0.0, How.WHOLE, text=SAID)
FAILED_ALONE = Asked(OLD, 0.0, How.FAILED, 503)
NEWER = Asked(NEW, 0.0, How.WHOLE, text="On its way!")
CUT = Asked(NEW, 0.0, How.CUT, text="On its", events=3)
CUT_BEFORE = Asked(NEW, 0.0, How.CUT, events=1)
DOWN = Asked(NEW, 0.0, How.FAILED, 500)


@dataclass
class FakeFlip:
    """Nobody was sent home, or somebody at some time."""

    variants: dict[str, str] = field(default_factory=lambda: {OLD: "old", NEW: "new"})
    asked_s: float = inf
    acknowledged_s: float = inf


def seen(saw: Saw, text: str = "", status: int = 200, variant: str = "old", **fields: Any) -> Seen:
    """What an app saw of a stream, between the first second and the second."""
    instance = Instance("gateway-1", cast("asyncio.subprocess.Process", None), 0, killed_s=fields.pop("killed_s", None))
    given: dict[str, Any] = {"is_stream": True, "manner": Manner.PLAIN, "request_id": "r-1", **fields}
    return Seen(1, "u", given.pop("is_stream"), given.pop("manner"), instance, 1.0, 2.0, saw, status, **given,
                variant=variant, text=text)  # fmt: skip


def recorded(by: Asked = ALONE, status: int = 200, **fields: Any) -> Exposure:
    """The record of an answer."""
    fate = Fate.INCUMBENT if by.model == OLD else Fate.CANDIDATE
    given: dict[str, Any] = {"assigned": Arm.CANDIDATE, **fields}
    return Exposure("r-1", "support-reply", 1, fate, status=status, **given)


FELL_BACK: dict[str, Any] = {"fell_back": True, "fell_back_reason": "500"}
ALLOWED = {
    "the incumbent's answer": (seen(Saw.WHOLE, SAID), [ALONE], ALONE, recorded()),
    "the candidate's answer": (seen(Saw.WHOLE, NEWER.text, variant="new"), [NEWER], ALONE, recorded(NEWER)),
    "the incumbent's for a candidate that failed": (
        *(seen(Saw.WHOLE, SAID), [DOWN, ALONE], ALONE),
        recorded(**FELL_BACK),
    ),
    "the incumbent's own error": (
        *(seen(Saw.ERROR, status=503), [FAILED_ALONE], FAILED_ALONE),
        recorded(status=503),
    ),
    "a candidate that breaks off after its first content": (
        *(seen(Saw.BROKEN_OFF, CUT.text, variant="new"), [CUT], ALONE),
        recorded(CUT, 502),
    ),
    "what a killed gateway tore": (seen(Saw.TORN, killed_s=1.5), [NEWER], ALONE, None),
    "a record that was not handed over": (seen(Saw.WHOLE, SAID, killed_s=2.5), [ALONE], ALONE, None),
    "nothing of it, for who has left": (seen(Saw.LEFT, request_id=""), [], ALONE, None),
}
BROKEN = {
    "two answers in one": (seen(Saw.WHOLE, CUT.text + SAID, variant="new"), [CUT, ALONE], ALONE, recorded(NEWER)),
    "somebody else's answer": (seen(Saw.WHOLE, "Yours is lost."), [ALONE], ALONE, recorded()),
    "an answer under another's name": (seen(Saw.WHOLE, SAID, variant="new"), [ALONE], ALONE, recorded()),
    "a second question after the first content": (
        *(seen(Saw.WHOLE, SAID), [CUT, ALONE], ALONE),
        recorded(fell_back=True, fell_back_reason="broken"),
    ),
    "the candidate's error": (seen(Saw.ERROR, status=500, variant="new"), [DOWN], ALONE, recorded(DOWN, 500)),
    "an error instead of the incumbent's answer": (
        *(seen(Saw.ERROR, status=502), [DOWN, ALONE], ALONE),
        recorded(status=502, **FELL_BACK),
    ),
    "another error than the incumbent's": (
        *(seen(Saw.ERROR, status=500), [FAILED_ALONE], FAILED_ALONE),
        recorded(status=500),
    ),
    "a break before the first content": (
        *(seen(Saw.BROKEN_OFF, variant="new"), [CUT_BEFORE], ALONE),
        recorded(CUT_BEFORE, 502),
    ),
    "a break of a whole answer": (
        *(seen(Saw.BROKEN_OFF, CUT.text, variant="new", is_stream=False), [CUT], ALONE),
        recorded(CUT, 502),
    ),
    "a break of which something is missing": (
        *(seen(Saw.BROKEN_OFF, "On", variant="new"), [CUT], ALONE),
        recorded(CUT, 502),
    ),
    "a break that says nothing": (seen(Saw.TORN, CUT.text, variant="new"), [CUT], ALONE, recorded(CUT, 502)),
    "a break that nobody made": (
        *(seen(Saw.BROKEN_OFF, NEWER.text, variant="new"), [NEWER], ALONE),
        recorded(NEWER, 502),
    ),
    "a break that is recorded as an answer": (
        *(seen(Saw.BROKEN_OFF, CUT.text, variant="new"), [CUT], ALONE),
        recorded(CUT),
    ),
    "an end long after the kill": (seen(Saw.TORN, killed_s=0.5), [ALONE], ALONE, None),
    "no end": (seen(Saw.NOTHING, killed_s=1.5), [ALONE], ALONE, None),
    "the incumbent twice": (seen(Saw.WHOLE, SAID), [ALONE, ALONE], ALONE, recorded()),
    "the candidate second": (seen(Saw.WHOLE, NEWER.text, variant="new"), [ALONE, NEWER], ALONE, recorded(NEWER)),
    "an answer of nobody": (seen(Saw.WHOLE, SAID), [], ALONE, recorded()),
    "another question to the incumbent": (
        *(seen(Saw.WHOLE, "Other."), [replace(ALONE, text="Other.")], ALONE),
        recorded(),
    ),
    "half a request": (seen(Saw.LEFT, manner=Manner.HALF, request_id=""), [ALONE], ALONE, None),
    "no record": (seen(Saw.WHOLE, SAID), [ALONE], ALONE, None),
    "no record of an error": (seen(Saw.ERROR, status=503), [FAILED_ALONE], FAILED_ALONE, None),
    "no record long before the kill": (seen(Saw.WHOLE, SAID, killed_s=4.5), [ALONE], ALONE, None),
    "a failure that is not recorded": (seen(Saw.WHOLE, SAID), [DOWN, ALONE], ALONE, recorded()),
    "a failure for another reason": (
        *(seen(Saw.WHOLE, SAID), [DOWN, ALONE], ALONE),
        recorded(fell_back=True, fell_back_reason="429"),
    ),
    "a record of another fate": (seen(Saw.WHOLE, SAID), [ALONE], ALONE, recorded(NEWER)),
    "the candidate for a unit of the incumbent's": (
        *(seen(Saw.WHOLE, NEWER.text, variant="new"), [NEWER], ALONE),
        recorded(NEWER, assigned=Arm.INCUMBENT),
    ),
}


@pytest.mark.parametrize("case", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_a_user_may_see(case: tuple[Seen, list[Asked], Asked, Exposure | None]) -> None:
    """Each rule with the one thing that it lets pass."""
    assert [] == list(faults(*case, FakeFlip()))


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN.keys())
def test_what_no_user_may_see(case: tuple[Seen, list[Asked], Asked, Exposure | None]) -> None:
    """One step beside what is allowed."""
    assert list(faults(*case, FakeFlip()))


def test_nobody_gets_the_candidate_after_everybody_has_acknowledged_that_it_is_withdrawn() -> None:
    """Before that, a request that was under way may end as it began, or at the incumbent."""
    case = (seen(Saw.WHOLE, NEWER.text, variant="new"), [NEWER], ALONE, recorded(NEWER))
    home = (seen(Saw.WHOLE, SAID), [NEWER, ALONE], ALONE, recorded())

    assert [] == list(faults(*case, FakeFlip(asked_s=0.5, acknowledged_s=1.5)))
    assert [] == list(faults(*home, FakeFlip(asked_s=0.5, acknowledged_s=1.5)))
    assert list(faults(*home, FakeFlip(asked_s=2.5, acknowledged_s=3.0)))
    assert list(faults(*case, FakeFlip(asked_s=0.5, acknowledged_s=0.9)))
