"""What began with a model that may change goes no further than shadow, unless somebody takes that upon themselves."""

from __future__ import annotations

import pytest

from midshift.controller.decide import decide
from midshift.domain.evidence import Evidence
from midshift.domain.move import Answer
from midshift.domain.plan import Plan
from midshift.domain.upgrade import CANARY_PINS, FLOATING, Event, Kind, Stage, Upgrade, Waiver, apply, begin
from tests.controller.test_decide import CLEARED, DAY_0, EVERYTHING_FINE, after

OVERRIDE = Waiver(FLOATING, "ada", "no pin is to be had (candidate 'gpt-4o' at 'openai' (floating))")


def in_shadow(*waivers: Waiver) -> Upgrade:
    """An upgrade that has passed its eval."""
    begun = begin("u-1", "support", "old", "new", Plan(), DAY_0, "salt", waivers)
    return apply(begun, Event(Kind.EVAL_CLEARED, DAY_0))


def waived(upgrade: Upgrade, what: str) -> Upgrade:
    """With one more waiver."""
    return apply(upgrade, Event(Kind.WAIVED, DAY_0, "bob", "because", what))


@pytest.mark.parametrize("evidence", [EVERYTHING_FINE, Evidence()])
def test_an_upgrade_that_began_with_a_floating_model_stays_in_shadow(evidence: Evidence) -> None:
    """Users would get a model that nobody has looked at: the one that the name stands for by then."""
    move = decide(in_shadow(OVERRIDE), evidence, after(60))

    assert move.kind is None
    assert ("pins", Answer.WAITING) == (move.gates[-1].name, move.gates[-1].answer)
    assert "gpt-4o" in move.gates[-1].reason


def test_a_waived_shadow_does_not_open_the_way_for_a_floating_model() -> None:
    """Who waives the one did not say yes to the other."""
    assert decide(waived(in_shadow(OVERRIDE), "shadow"), EVERYTHING_FINE, after(1)).kind is None


def test_a_second_name_lets_it_into_the_canary() -> None:
    upgrade = waived(in_shadow(OVERRIDE), CANARY_PINS)
    move = decide(upgrade, EVERYTHING_FINE, after(60))

    assert Kind.SHADOW_COMPLETED is move.kind
    assert ("pins", Answer.WAIVED) == (move.gates[-1].name, move.gates[-1].answer)
    assert Kind.SHADOW_WAIVED is decide(waived(upgrade, "shadow"), Evidence(eval=CLEARED), after(1)).kind


def test_an_upgrade_of_pinned_models_has_no_such_gate() -> None:
    move = decide(in_shadow(), EVERYTHING_FINE, after(60))

    assert Kind.SHADOW_COMPLETED is move.kind
    assert "pins" not in {gate.name for gate in move.gates}


def test_an_override_belongs_to_its_candidate() -> None:
    """The next candidate is either pinned, or somebody overrides again; and then it is in the same event."""
    shadowed = in_shadow(OVERRIDE)
    pinned = apply(shadowed, Event(Kind.CANDIDATE_CHANGED, DAY_0, "ada", "pinned now", candidate="v3"))
    again = apply(shadowed, Event(Kind.CANDIDATE_CHANGED, DAY_0, "bob", "another; floats", FLOATING, "v3"))

    assert (Stage.EVAL, ()) == (pinned.stage, pinned.waivers)
    assert (Waiver(FLOATING, "bob", "another; floats"),) == again.waivers
