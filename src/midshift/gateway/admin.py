"""The port that works with the store dead: it flips towards the incumbent, and can do nothing else.

Every request shows the admin key, which is none of the apps'. A flip also shows a nonce from `GET /-/nonce`, good for
one minute and one flip, so that a recorded request cannot be played back.

    key='authorization: Bearer KEY'
    nonce=$(curl -s -H "$key" http://127.0.0.1:8701/-/nonce)
    curl -X POST -H "$key" -H "x-midshift-nonce: $nonce" http://127.0.0.1:8701/-/force-incumbent

A body `{"workload": NAME}` flips one workload, without it all of them. Elsewhere: until when a flip holds (route).
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Mapping

import msgspec

from midshift.gateway.app import Gateway
from midshift.gateway.exchange import ClientLeft, Exchange
from midshift.gateway.settings import Admin
from midshift.ports import Clock

NONCE_LIFE_S = 60.0
MOST_NONCES = 100
LARGEST_BODY = 64 * 1024


class _Flip(msgspec.Struct, forbid_unknown_fields=True):
    workload: str | None = None


class AdminPort:
    """What answers on the admin port."""

    def __init__(self, gateway: Gateway, settings: Admin, clock: Clock) -> None:
        self._gateway = gateway
        self._key = settings.key.encode()
        self._clock = clock
        self._nonces: dict[str, float] = {}

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        found = exchange.head.found
        shown = found.get(b"authorization", b"")
        if not hmac.compare_digest(shown, b"Bearer " + self._key):
            await _answer(exchange, 401, {"error": "show the admin key as the bearer token"})
            return
        match exchange.head.method, exchange.head.path:
            case "GET", "/-/nonce":
                await _text(exchange, self._nonce())
            case "GET", "/-/status":
                await _answer(exchange, 200, self._status())
            case "POST", "/-/force-incumbent":
                await self._flip(found.get(b"x-midshift-nonce", b"").decode("latin-1"), exchange)
            case _:
                await _answer(exchange, 404, {"error": "here are GET /-/nonce, GET /-/status, POST /-/force-incumbent"})

    async def _flip(self, nonce: str, exchange: Exchange) -> None:
        if not self._is_good(nonce):
            await _answer(
                exchange, 403, {"error": "show a fresh nonce of GET /-/nonce as x-midshift-nonce; each is for one flip"}
            )
            return
        try:
            asked = msgspec.json.decode(await _body(exchange) or b"{}", type=_Flip)
        except ClientLeft:
            return
        except (msgspec.DecodeError, UnicodeDecodeError):
            await _answer(exchange, 400, {"error": 'expected no body, or {"workload": NAME}'})
            return
        known = [workload.name for workload in self._gateway.settings.workloads]
        if asked.workload is not None and asked.workload not in known:
            await _answer(exchange, 404, {"error": f"no workload {asked.workload!r} here", "workloads": known})
            return
        flipped = self._gateway.routes.flip(known if asked.workload is None else [asked.workload])
        kept = await asyncio.to_thread(self._gateway.routes.keep)
        await _answer(exchange, 200, {"flipped": flipped, "survives_a_restart": kept})

    def _status(self) -> Mapping[str, object]:
        now = self._clock.machine_now()
        workloads = {}
        for workload in self._gateway.settings.workloads:
            serving = self._gateway.routes.serving(workload.name, now)
            home = serving.home.value if serving.home is not None else None
            workloads[workload.name] = {
                "epoch": serving.route.epoch,
                "share": serving.route.share,
                "home": home,
                "unwatched": serving.is_unwatched,
            }
        return {"gateway": self._gateway.settings.name, "workloads": workloads}

    def _nonce(self) -> str:
        now_s = self._clock.monotonic_s()
        fresh = {nonce: until_s for nonce, until_s in self._nonces.items() if until_s > now_s}
        nonce = secrets.token_urlsafe(24)
        self._nonces = {**dict(list(fresh.items())[-MOST_NONCES + 1 :]), nonce: now_s + NONCE_LIFE_S}
        return nonce

    def _is_good(self, nonce: str) -> bool:
        until_s = self._nonces.pop(nonce, None)
        return until_s is not None and self._clock.monotonic_s() < until_s


async def _body(exchange: Exchange) -> bytes:
    """The whole body: half of one may name nothing, and to name nothing is to flip everything."""
    body = b""
    while len(body) <= LARGEST_BODY and (part := await exchange.part()):
        body += part
    return body


async def _text(exchange: Exchange, text: str) -> None:
    await _send(exchange, 200, b"text/plain; charset=utf-8", text.encode())


async def _answer(exchange: Exchange, status: int, content: Mapping[str, object]) -> None:
    await _send(exchange, status, b"application/json", msgspec.json.encode(content) + b"\n")


async def _send(exchange: Exchange, status: int, kind: bytes, body: bytes) -> None:
    lines = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await exchange.answer(status, lines, body)
