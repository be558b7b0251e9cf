"""Ask every vendor about its models, a few at a time, and fall back with a reason where there is no answer.

The same question is asked once, however many models it is about. A host that did not answer once is not waited for
again in this look. Nothing is asked twice: whoever looks daily asks again tomorrow.
Elsewhere: who is believed (settle), how each vendor is asked (vendors).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import urlsplit

from midshift.domain.retirement import ModelName, Retirement
from midshift.errors import InputError, MidshiftError
from midshift.ports import Http, HttpAnswer, HttpFailed, HttpRequest
from midshift.providers.lifecycle.answers import Access, NotAsked, Vendor, fields
from midshift.providers.lifecycle.settle import Heard, Lists, settle
from midshift.providers.lifecycle.vendors import VENDORS, vendor_name, why_not

OFFLINE = "vendor's API not asked: offline"

_REFUSED = (400, 401, 403)
_GONE = (404, 410)
_WORDS = {
    400: "the request was refused",
    401: "the key was refused",
    403: "the key may not ask this",
    404: "no such address",
    429: "asked too often",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How many questions are open at once, and how long each may take."""

    at_once: int = 8
    answer_s: float = 10.0


async def look(
    models: Collection[ModelName],
    http: Http | None,
    access: Mapping[str, Access],
    lists: Lists,
    now: datetime,
    limits: Limits | None = None,
) -> list[Retirement]:
    """What is known about the end of each model, each once, in the order of their names.

    `http` None asks nobody; `access` is by provider, and `now` has a zone. Never raises for what a vendor does.
    """
    wanted = sorted(set(models))
    if http is None:
        heard = {name: Heard("", why=OFFLINE, vendor=access.get(name.provider, Access()).vendor) for name in wanted}
    else:
        heard = await _all_heard(wanted, http, access, now, limits or Limits())
    return [settle(name, heard[name], lists, now.date()) for name in wanted]


@dataclass(frozen=True, slots=True)
class _Question:
    """The same request to the same vendor, about one model or several."""

    vendor: Vendor
    tries: Sequence[HttpRequest]
    models: list[ModelName]


@dataclass(frozen=True, slots=True)
class _Round:
    """One look: whom it asks through, and which hosts it has given up."""

    http: Http
    limits: Limits
    open: asyncio.Semaphore
    given_up: dict[str, str] = field(default_factory=dict)


async def _all_heard(
    models: Sequence[ModelName], http: Http, access: Mapping[str, Access], now: datetime, limits: Limits
) -> dict[ModelName, Heard]:
    heard: dict[ModelName, Heard] = {}
    questions: dict[tuple[str, str], _Question] = {}
    for name in models:
        ours = access.get(name.provider, Access())
        vendor = vendor_name(ours.vendor or name.provider)
        tries = _tries(vendor, name.model, ours, now)
        if isinstance(tries, NotAsked):
            heard[name] = Heard("", why=f"vendor's API not asked: {tries.words}")
        else:
            key = (name.provider, tries[0].url)
            questions.setdefault(key, _Question(VENDORS[vendor], tries, [])).models.append(name)
    turn = _Round(http, limits, asyncio.Semaphore(limits.at_once))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_asked(turn, question)) for question in questions.values()]
    for task in tasks:
        heard.update(task.result())
    vendors = {provider: ours.vendor for provider, ours in access.items()}
    return {name: replace(said, vendor=vendors.get(name.provider)) for name, said in heard.items()}


def _tries(vendor: str, model: str, access: Access, now: datetime) -> Sequence[HttpRequest] | NotAsked:
    known = VENDORS.get(vendor)
    return NotAsked(why_not(vendor)) if known is None else known.requests(model, access, now)


async def _asked(turn: _Round, question: _Question) -> dict[ModelName, Heard]:
    """Ask one question, in the vendor's other ways too where the first is refused, and read it for each model."""
    reasons: list[str] = []
    async with turn.open:
        for request in question.tries:
            answer = await _answer(turn, request)
            if isinstance(answer, str):
                reasons.append(answer)
                break
            if answer.status not in _REFUSED:
                return {name: _read(question.vendor, name, request, answer, reasons) for name in question.models}
            reasons.append(_refusal(request, answer))
    why = "vendor's API: " + "; ".join(dict.fromkeys(reasons))
    return {name: Heard(question.tries[0].url, why=why) for name in question.models}


async def _answer(turn: _Round, request: HttpRequest) -> HttpAnswer | str:
    """The answer, or why there is none."""
    host = urlsplit(request.url).netloc
    if host in turn.given_up:
        return turn.given_up[host]
    try:
        return await turn.http.ask(request, turn.limits.answer_s)
    except HttpFailed as error:
        words = f"{host}: {error.reason.replace('_', ' ')}"
        if error.reason in ("timeout", "unreachable"):
            turn.given_up[host] = words
    except MidshiftError as error:  # an address that is none, a proxy or authorities that this machine lacks
        words = turn.given_up[host] = f"{host}: {error}"
    return words


def _read(vendor: Vendor, name: ModelName, request: HttpRequest, answer: HttpAnswer, reasons: Sequence[str]) -> Heard:
    url = request.url
    if answer.status in _GONE and _is_vendors_error(answer.body):
        return Heard(
            url, why=f"vendor's API: {_refusal(request, answer, 'it does not know this model')}", callable=False
        )
    if answer.status != 200:
        why = "; ".join(dict.fromkeys([*reasons, _refusal(request, answer)]))
        return Heard(url, why=f"vendor's API: {why}")
    try:
        found = vendor.read(answer.body, name.model)
    except InputError as error:
        why = "; ".join(dict.fromkeys([*reasons, str(error)]))
        return Heard(url, why=f"vendor's API: {why}")
    if found is None:
        return Heard(url, why="vendor's API: this model is not in its list", callable=False)
    return Heard(url, found, callable=True)


def _refusal(request: HttpRequest, answer: HttpAnswer, words: str = "") -> str:
    host = urlsplit(request.url).netloc
    told = words or _WORDS.get(answer.status) or ("the vendor is in trouble" if answer.status >= 500 else "unexpected")
    return f"{host} answered {answer.status}, {told}"


def _is_vendors_error(body: bytes) -> bool:
    """Whether a 404 is about the model: a vendor says what is wrong, a wrong address has some page or other."""
    try:
        found = fields(body)
    except InputError:
        return False
    return "error" in found or "message" in found
