"""One request with everything that was decided about it, and what came of it.

Both are made for every request: structs, whose fields are set in C.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from midshift.domain.exposure import Fate, ShadowAnswer, ShadowFate
from midshift.domain.rendering import Changes
from midshift.domain.routing import Arm
from midshift.domain.workload import Workload
from midshift.gateway.headers import Lines
from midshift.gateway.origins import AS_IT_IS, Carriage, Held, carriage, may_be_anothers
from midshift.gateway.reading import Said
from midshift.gateway.route import ServedVariant, Serving
from midshift.gateway.settings import Pricing
from midshift.wire.protocol import Answer, WireName, WireRequest
from midshift.wire.wires import WIRES


class Job(Struct, eq=False):
    """One request with everything that was decided about it. `wire` is the app's, `path` and `query` on it; `said` is
    what the head of the request says.

    `assigned` is the arm that it counts for, `chosen` the one that is asked first; they differ where what the request
    `held` of an earlier answer kept it with the other (`stayed`). A member of a `ring` counts for neither. `client` is
    the name of the app's key; `unnamed` says that no source named its unit. It came at `came_at` by the machine's
    clock, and at `started_s` by the one that only goes forwards.
    """

    id: str
    workload: Workload
    wire: WireName
    path: str
    query: str
    request: WireRequest
    said: Said
    serving: Serving
    assigned: Arm
    unit: str
    block: int
    slices: tuple[str, ...]
    came_at: datetime
    started_s: float
    chosen: Arm
    held: tuple[Held, ...] = ()
    ring: str = ""
    unnamed: bool = False
    client: str = ""

    @property
    def lines(self) -> Lines:
        """The app's header lines that a provider may see."""
        return self.said.lines

    @property
    def stayed(self) -> bool:
        """Whether its state kept it with the arm that it was not assigned to."""
        return self.chosen is not self.assigned

    @property
    def is_compared(self) -> bool:
        """Whether a second, unseen answer would say something about the arms: not for rings, and not for state."""
        return not self.ring and self.chosen is self.assigned

    def is_withdrawn(self, now: Serving) -> bool:
        """Whether the candidate that it was decided for serves nobody any more, by what serves now."""
        if now is self.serving or now.candidate is None or self.serving.candidate is None:
            return now is not self.serving
        return now.candidate.id != self.serving.candidate.id or not now.route.serves_candidate

    def carriage(self, served: ServedVariant) -> Carriage:
        """How what it holds of earlier answers goes to a variant."""
        if not self.held:
            return AS_IT_IS
        unknown = may_be_anothers(self.serving, served, self.assigned, not self.unnamed, self.wire)
        return carriage(self.held, served, self.wire, unknown, self._kept_by_stripping)

    def _kept_by_stripping(self) -> frozenset[str]:
        return kept_by_stripping(self.request, self.path, self.wire)


def kept_by_stripping(request: WireRequest, path: str, wire: WireName) -> frozenset[str]:
    """The tokens that a request cannot go without. Dear: it is written and read anew."""
    stripped = request.rewritten(Changes(), strip_state=True)
    return frozenset(token for _, token in WIRES[wire].read_request(stripped.body, path, "alt=sse").bound_state)


NO_ANSWER = Answer()


class Mirroring(Struct, eq=False):
    """The unseen answers to one request, from the side of the user's; `is_over` when that is.

    `seen` is the side that the user saw, the same in all pairs. `waiting` is done when the user's answer is over.
    `shadow` is the end of the candidate's shadow where that is known at once; where `waits`, the mirror says it later.
    """

    is_over: bool = False
    seen: ShadowAnswer | None = None
    waiting: list[Callable[[], None]] = []
    shadow: ShadowFate | None = None
    waits: bool = False


class Outcome(Struct, eq=False):
    """What came of a job for the user. `status` is the truth about the answer, also when the head had said 200.

    `unmatched`: no prompt of the variant fits; `withdrawn`: the candidate was sent home before it could be asked.

    `is_answered`: a provider had begun to answer, whatever became of it. `left`: the app went before it had all of its
    answer; `is_whole`: it went with all of it, or with an error in it, and the provider had not closed yet. `body` is
    what the provider sent, on `body_wire`, where `keeps_body` asked for it; `whole` is all that a stream said in it,
    for whoever asks next. `attempt` is the number under which the breaker hears how the candidate's try ended.
    `is_asked`: a request for it was on the wire; from then on it is known what is answered unseen, in `mirroring` where
    that is anything.
    """

    fate: Fate = Fate.REFUSED
    status: int = 0
    by: ServedVariant | None = None
    fell_back: str = ""
    unmatched: bool = False
    attempt: int = 0
    withdrawn: bool = False
    stripped: bool = False
    left: bool = False
    is_whole: bool = False
    is_answered: bool = False
    first_byte_s: float | None = None
    latency_s: float | None = None
    answer: Answer = NO_ANSWER
    whole: Answer | None = None
    keeps_body: bool = False
    body: bytes | None = None
    body_wire: WireName = WireName.OPENAI_CHAT
    priced_usd: float | None = None
    is_asked: bool = False
    mirroring: Mirroring | None = None

    def cost_usd(self, pricing: Pricing) -> float | None:
        """What `answer` cost, None where nobody knows; `pricing` is asked once for all who want to know."""
        if self.priced_usd is None and self.by is not None:
            self.priced_usd = pricing(self.by.variant, self.answer.usage)
        return self.priced_usd

    def said(self, streamed: bool) -> Answer | None:
        """All that `body` says, its text as well; None where it is no answer. One that came as a whole is read."""
        if self.body is None or self.status != 200:
            return None
        answer, wire = self.answer, WIRES[self.body_wire]
        if streamed:
            self.whole = self.whole or wire.read_stream(self.body)
            return self.whole
        is_read = answer.text is not None or answer.finish_reason is not None
        return answer if is_read else wire.read_answer(self.body)
