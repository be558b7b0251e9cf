"""A case as one variant is asked it: the key under which the answer is kept, and the request on the provider's wire.

A case is a chat request of the app. It is rendered by the variant and goes to the provider as the gateway would send
it: on the app's wire where the provider speaks that, else translated. The key holds what is asked and not how midshift
spells it, so a newer midshift does not buy again what an older one bought. The case's id is part of it: two cases with
the same words are two draws, not one.
Elsewhere: variants (domain.rendering), wires (wire), who sends it (providers.paid).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import msgspec

from midshift.domain.paid_call import CallKey, CallKind
from midshift.domain.rendering import Recipe
from midshift.domain.variant import Variant
from midshift.errors import InputError
from midshift.evals import characters
from midshift.evals.suite_file import EvalCase
from midshift.providers.http.messages import Request
from midshift.providers.http.settings import Timeouts, Upstream
from midshift.providers.paid.buyer import Order
from midshift.wire.protocol import Unreadable, WireName
from midshift.wire.translation.conversation import Uncarried
from midshift.wire.translation.translate import translated_request
from midshift.wire.wires import WIRES

PATH = "/chat/completions"
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens", "generationConfig.maxOutputTokens")
_ANSWERS = ("n", "generationConfig.candidateCount")
"""How many answers a request asks for: only the first is read, and all of them are paid."""
_OF_STREAMS = frozenset(("stream", "stream_options"))
_JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """The way from a case to one variant. `model` is the id that the app sends, before the variant is rendered.

    `most_tokens_out` is what the model can answer at most, if anybody knows. `place` sets apart the answers of another
    address than the provider's own, such as a simulator's; `is_labelled` tells such a server which case it is.
    `is_streamed` asks for answers as streams, to know when their first token came; it is no part of a key, for it
    changes nothing of what is asked. Whatever the case says of streaming is the app's affair and is not sent.
    """

    variant: Variant
    upstream: Upstream
    wire: WireName
    recipe: Recipe
    model: str
    most_tokens_out: int | None = None
    place: str = ""
    is_labelled: bool = False
    is_streamed: bool = False

    @classmethod
    def of(
        cls,
        variant: Variant,
        upstream: Upstream,
        model: str,
        most_tokens_out: int | None = None,
        place: str = "",
        is_labelled: bool = False,
    ) -> Self:
        """The line of a variant at its provider.

        Raises:
            ValueError: for a prompt or parameters that are not well formed.
        """
        spoken = tuple(WireName(name) for name in upstream.wires)
        wire = WireName.OPENAI_CHAT if WireName.OPENAI_CHAT in spoken else spoken[0]
        return cls(variant, upstream, wire, Recipe.of(variant), model, most_tokens_out, place, is_labelled)

    def key(self, case: EvalCase, trial: int = 1) -> CallKey:
        """The key of the answer to a case."""
        return CallKey(self.variant.id, digest(self.model, self.place, {"id": case.id, **case.body}), trial)

    def judge_key(self, messages: Any, trial: int, grader: str) -> CallKey:
        """The key of a judge's answer to a question of its own."""
        asked = digest("", self.place, {"messages": messages})
        return CallKey(self.variant.id, asked, trial, CallKind.JUDGE, grader)

    def order(self, key: CallKey, case: EvalCase) -> Order | None:
        """What to buy; None if the variant's prompt does not fit the case: then it could not have answered.

        Raises:
            InputError: for a case that is no request, or has a field that the provider's wire has no words for.
        """
        try:
            return self._order(key, case)
        except Unreadable as error:
            raise InputError(f"case {case.id!r} is no chat request: {error}. Type next: midshift check") from None
        except Uncarried as error:
            raise InputError(
                f"case {case.id!r} cannot be put to {self.variant.model!r} at {self.variant.provider!r}: {error}. "
                "Type next: midshift preflight"
            ) from None

    def _order(self, key: CallKey, case: EvalCase) -> Order | None:
        said = {name: value for name, value in case.body.items() if name not in _OF_STREAMS}
        streamed = {"stream": True} if self.is_streamed else {}
        body = msgspec.json.encode({**said, **streamed, "model": self.model})
        chat = WIRES[WireName.OPENAI_CHAT].read_request(body, PATH)
        changes = self.recipe.render(chat)
        if changes is None:
            return None
        asked = chat
        if self.wire is not WireName.OPENAI_CHAT:
            asked = translated_request(WireName.OPENAI_CHAT, self.wire, body, PATH, "", changes)
        sent = asked.rewritten(changes, ask_usage=self.is_streamed and self.upstream.asks_usage)
        lines = self.upstream.completed(self.wire, [_JSON, *(self._labels(case, key) if self.is_labelled else ())])
        request = Request(self.upstream.target(self.wire, sent.target), lines, sent.body)
        return Order(
            key,
            self.variant,
            self.wire,
            request,
            self._tokens_out(sent.body),
            characters.of_request(self.wire, sent),
            self._patience if self.is_streamed else None,
        )

    @property
    def _patience(self) -> Timeouts:
        """A stream may be silent for as long as a whole answer may: a model that thinks says nothing."""
        limits = self.upstream.timeouts
        return replace(limits, first_byte_s=limits.total_s, idle_s=limits.total_s)

    def _labels(self, case: EvalCase, key: CallKey) -> tuple[tuple[bytes, bytes], ...]:
        name = case.id.encode("ascii", "replace")
        return (b"x-case-id", name), (b"x-case-trial", str(key.trial).encode())

    def _tokens_out(self, body: bytes) -> int | None:
        """The most tokens that all answers to this request can have. Of several limits nobody knows which one holds."""
        found = msgspec.json.decode(body, type=dict[str, Any])
        limits = _counts(found, _LIMITS)
        most = max(limits) if limits else self.most_tokens_out
        if most is None:
            return None
        own = most if self.most_tokens_out is None else min(most, self.most_tokens_out)
        return own * max(_counts(found, _ANSWERS), default=1)


def digest(model: str, place: str, asked: Mapping[str, Any]) -> str:
    """The hash of what is asked; the order of keys does not matter."""
    content = msgspec.json.encode([model, place, asked], order="deterministic")
    return hashlib.sha256(content).hexdigest()


def _counts(found: Mapping[str, Any], paths: Iterable[str]) -> list[int]:
    """The whole numbers above 0 at these places; whatever else is there limits nothing."""
    said = (_at(found, path) for path in paths)
    return [value for value in said if isinstance(value, int) and not isinstance(value, bool) and value > 0]


def _at(found: Mapping[str, Any], path: str) -> Any:
    first, _, rest = path.partition(".")
    inner = found.get(first)
    return _at(inner, rest) if rest and isinstance(inner, Mapping) else None if rest else inner
