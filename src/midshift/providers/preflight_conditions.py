"""Whether a rule of preflight holds for a field: one function a kind of condition, each a yes, a no, or not known.

Length is an estimate from the bytes of text: a token has about 4, seldom more than 8 or less than 2. A prompt counts as
too long if it is so at 8 bytes a token, between that and 4 it is not known; as too short to be cached, if so at 2.
Elsewhere: the rules as data (preflight_rules), what follows from them (preflight).
"""

from __future__ import annotations

from dataclasses import dataclass

from midshift.domain.clamping import EFFORTS
from midshift.providers.capabilities import Capabilities
from midshift.providers.preflight_rules import Condition, Rule
from midshift.providers.preflight_way import Way
from midshift.providers.request_fields import Found
from midshift.providers.request_places import PLACES, Aspect

LEAST_BYTES_A_TOKEN, USUAL_BYTES_A_TOKEN, MOST_BYTES_A_TOKEN = 2, 4, 8


@dataclass(frozen=True, slots=True)
class Terms:
    """What a request's rules may depend on beside the field: the effort and the API version it goes out with."""

    effort: str | None
    version: str | None


def holds(rule: Rule, way: Way, found: Found, terms: Terms, capabilities: Capabilities) -> bool | None:
    """Whether a rule's condition holds; None where that is not known."""
    match rule.condition:
        case Condition.ALWAYS:
            return True
        case Condition.CROSSING:
            return way.crosses
        case Condition.NO_PLACE:
            return way.crosses and found.aspect not in PLACES[way.wire]
        case Condition.API_VERSION:
            return None if terms.version is None else terms.version >= min(rule.values)
        case Condition.VALUE_FLAG:
            return _refuses_value(rule, found, capabilities)
    known = capabilities.fact(rule.capability).value
    if known is None:
        return None
    match rule.condition:
        case Condition.CAPABILITY_IS:
            return known in rule.values
        case Condition.NEEDS_EFFORT_NONE:
            if known != "with_effort_none":
                return False
            return None if terms.effort is None else terms.effort != "none"
        case Condition.NOT_LISTED:
            return isinstance(known, tuple) and found.value not in known
        case Condition.OTHER_NAME:
            return known != "any" and way.name(found) != known
        case _:
            return _is_beyond(rule.condition, found.value, known)


def _refuses_value(rule: Rule, found: Found, capabilities: Capabilities) -> bool | None:
    name = rule.capability.format(value=found.value)
    if found.aspect is Aspect.EFFORT and found.value not in EFFORTS:
        return None
    try:
        flag = capabilities.flag(name)
    except KeyError:
        return None
    return None if flag is None else not flag


def _is_beyond(condition: Condition, value: object, limit: object) -> bool | None:
    if not isinstance(limit, int) or not isinstance(value, int | float) or isinstance(value, bool):
        return None
    match condition:
        case Condition.ESTIMATE_OVER:
            is_sure, is_likely = value > limit * MOST_BYTES_A_TOKEN, value > limit * USUAL_BYTES_A_TOKEN
            return None if is_likely and not is_sure else is_sure
        case Condition.ESTIMATE_UNDER:
            return value < limit * LEAST_BYTES_A_TOKEN
        case _:
            return value > limit
