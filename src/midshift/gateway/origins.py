"""Where the state in a request was made, and what follows from it for who may answer.

Response ids, encrypted reasoning and signatures of thinking can only be read where they were made. A gateway remembers
which variant it relayed them from, as digests in bounded memory: no text, no disk, no store. Another process, or this
one before its restart, may have relayed what is not known here.

The rules, for an item of the request and a variant that is to answer:

    made by this variant, or by one that reads the same     passes unchanged
    made by the other of the two live variants              the request stays with that one, as long as it is live
    made by a variant that is gone (flip, rollback, end)    is left out where a request is valid without it; else it
                                                            passes within one provider, and is refused beyond
    unknown, and can only be the variant's own              passes unchanged
    unknown, and may be the other's                         is left out where it can be, and passes where it cannot
    uploaded or kept at a provider beforehand               is the incumbent's provider's

Leaving out costs the model its earlier thoughts; sending it what it cannot verify costs the user the answer: vendors
refuse such a request whole (400). Two variants read the same if provider and model are the same, but not on
Anthropic's wire: there a signature is bound to all that stands before it, the system prompt included.
Elsewhere: what in a request is bound (`bound_state` of the wires), the tokens of an answer (`state_in`), leaving out
(`rewritten`).
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from midshift.domain.routing import Arm
from midshift.gateway.route import ServedVariant, Serving
from midshift.wire.protocol import Wire, WireName

_DIGEST_BYTES = 16
_LONGEST_LINE = 1 << 20
_PREVIOUS = "previous_response_id"
_OWNED = (_PREVIOUS, "conversation", "container", "id")
_KEPT_BEFOREHAND = ("conversation", "prompt", "file_id", "fileData", "cachedContent")


@dataclass(frozen=True, slots=True)
class Origin:
    """The answer that a token came with: of which variant, for which client key (by name), for which unit."""

    variant: str
    provider: str
    model: str
    client: str = ""
    unit: str = ""

    @classmethod
    def at(cls, served: ServedVariant, client: str = "", unit: str = "") -> Origin:
        """An answer of this variant."""
        return cls(served.id, served.variant.provider, served.variant.model, client, unit)


@dataclass(frozen=True, slots=True)
class Held:
    """One item of bound state in a request. `origin` is None where it is not known here."""

    field: str
    token: str
    origin: Origin | None = None

    @property
    def kind(self) -> str:
        """The last part of its place."""
        return self.field.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Carriage:
    """How state goes to a variant: as it is, `strip`ped, or not at all, because `stuck` names a field in the way."""

    strip: bool = False
    stuck: str = ""


AS_IT_IS = Carriage()
"""How a request goes that holds nothing that is bound to a variant."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is asked first. `stayed`: not the arm that was assigned. `stuck`: nobody can be, because of that field."""

    arm: Arm
    stayed: bool = False
    stuck: str = ""


class Origins:
    """The last `most` tokens that a gateway relayed; each is a digest of 16 bytes and shares its answer's `Origin`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[bytes, Origin] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def remember(self, tokens: Iterable[str], origin: Origin) -> None:
        """Take note of the tokens of an answer; the longest unused ones are let go."""
        for token in tokens:
            key = _digest(token)
            self._known[key] = origin
            self._known.move_to_end(key)
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def of(self, token: str) -> Origin | None:
        """Where a token was made; None if it is not known here."""
        key = _digest(token)
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        return found

    def held(self, bound_state: Iterable[tuple[str, str]]) -> tuple[Held, ...]:
        """The bound state of a request, with its origins."""
        return tuple(Held(field, token, self.of(token)) for field, token in bound_state)


class Watched:
    """Finds the tokens of one answer in what goes to the app, in whole lines, and has them remembered at once."""

    __slots__ = ("_origin", "_origins", "_rest", "_wire")

    def __init__(self, origins: Origins, origin: Origin, wire: Wire) -> None:
        self._origins = origins
        self._origin = origin
        self._wire = wire
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take more of the answer. A line beyond 1 MB is let go: it holds a picture, and no client waits for us."""
        seen = self._rest + data if self._rest else data
        end = seen.rfind(b"\n") + 1
        self._rest = seen[end:] if len(seen) - end <= _LONGEST_LINE else b""
        if end:
            self._note(seen[:end])

    def end(self) -> None:
        """The answer is over."""
        self._note(self._rest)
        self._rest = b""

    def _note(self, part: bytes) -> None:
        if tokens := self._wire.state_in(part):
            self._origins.remember(tokens, self._origin)


def reads(served: ServedVariant, origin: Origin, wire: WireName) -> bool:
    """Whether a variant can go on from what was made at `origin`."""
    if served.id == origin.variant:
        return True
    same = (served.variant.provider, served.variant.model) == (origin.provider, origin.model)
    return same and wire is not WireName.ANTHROPIC


def carriage(
    held: Sequence[Held],
    served: ServedVariant,
    wire: WireName,
    may_be_anothers: bool,
    kept_by_stripping: Callable[[], Collection[str]],
) -> Carriage:
    """How the state of a request goes to `served`.

    `may_be_anothers` says whether unknown state may be another variant's; `kept_by_stripping` are the tokens that stay
    in the request when it is stripped, asked for only where something is in the way.
    """
    foreign = [item for item in held if not _is_readable(item, served, wire, may_be_anothers)]
    if not foreign:
        return AS_IT_IS
    kept = kept_by_stripping()
    for item in foreign:
        if item.token in kept and item.origin is not None and item.origin.provider != served.variant.provider:
            return Carriage(stuck=item.field)
    return Carriage(strip=any(item.token not in kept for item in foreign))


def choice(
    held: Sequence[Held],
    assigned: Arm,
    serving: Serving,
    wire: WireName,
    kept_by_stripping: Callable[[], Collection[str]],
) -> Choice:
    """Who is asked first for a request that holds state: the assigned arm, unless the state keeps it with the other."""
    other = Arm.INCUMBENT if assigned is Arm.CANDIDATE else Arm.CANDIDATE
    first, second = _served(assigned, serving), _served(other, serving)
    if not held or first is None:
        return Choice(assigned)
    if second is not None and _keeps(held, first, second, wire, other):
        return Choice(other, stayed=True)
    stuck = carriage(held, first, wire, False, kept_by_stripping).stuck
    if stuck and second is not None and not carriage(held, second, wire, False, kept_by_stripping).stuck:
        return Choice(other, stayed=True)
    return Choice(assigned, stuck=stuck)


def may_be_anothers(
    serving: Serving, served: ServedVariant, assigned: Arm, has_stable_unit: bool, wire: WireName
) -> bool:
    """Whether state of unknown origin may be of the other live variant, which `served` cannot go on from.

    A ramp only adds units to the candidate: whoever has the incumbent now never had this candidate, if the unit is the
    same in each request.
    """
    candidate = serving.candidate
    if candidate is None or not serving.route.serves_candidate or (assigned is Arm.INCUMBENT and has_stable_unit):
        return False
    other = candidate if served.id == serving.incumbent.id else serving.incumbent
    return not reads(served, Origin.at(other), wire)


def not_ones_own(held: Iterable[Held], client: str) -> Held | None:
    """The first id that is known to have been made for another client key."""
    owned = (item for item in held if item.kind in _OWNED and item.origin is not None)
    return next((item for item in owned if item.origin is not None and item.origin.client != client), None)


def previous(held: Iterable[Held]) -> Origin | None:
    """The origin of the response that a request goes on from by its id alone."""
    return next((item.origin for item in held if item.field == _PREVIOUS), None)


def _keeps(held: Sequence[Held], first: ServedVariant, second: ServedVariant, wire: WireName, other: Arm) -> bool:
    """Whether the state is the second's, the other live variant's, and the first cannot go on from it."""
    last = previous(held) or next((item.origin for item in reversed(held) if item.origin is not None), None)
    if last is not None:
        return last.variant == second.id and not reads(first, last, wire)
    is_beforehand = any(item.kind in _KEPT_BEFOREHAND for item in held)
    return other is Arm.INCUMBENT and is_beforehand and first.variant.provider != second.variant.provider


def _served(arm: Arm, serving: Serving) -> ServedVariant | None:
    """The variant of an arm; None for a candidate that no user gets any more."""
    if arm is Arm.INCUMBENT:
        return serving.incumbent
    return serving.candidate if serving.route.serves_candidate else None


def _is_readable(item: Held, served: ServedVariant, wire: WireName, may_be_anothers: bool) -> bool:
    return not may_be_anothers if item.origin is None else reads(served, item.origin, wire)


def _digest(token: str) -> bytes:
    return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
