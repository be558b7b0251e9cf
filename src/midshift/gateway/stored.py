"""Responses that a provider keeps: shown, listed, cancelled and deleted where they were made.

Contract. Who made a response is known for those that this gateway relayed; any other is looked for at the provider
that speaks this wire, if there is only one. An id that is known to belong to another client key does not exist. For an
id that is not known here (another process relayed it, or this one before its restart) nobody can tell whose it is: it
is as visible as it is to everybody who shares the provider's key. Nothing here is evidence.
Elsewhere: origins, the answers themselves (relay).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from midshift.gateway import headers
from midshift.gateway.exchange import Exchange
from midshift.gateway.intake import Refused
from midshift.gateway.origins import Origins
from midshift.gateway.reading import private_headers
from midshift.gateway.settings import GatewaySettings
from midshift.providers.http.messages import CallFailed, Request, Transport
from midshift.wire.paths import Asked
from midshift.wire.protocol import WireName

_WIRE = WireName.OPENAI_RESPONSES


@dataclass(frozen=True, slots=True)
class Stored:
    """A request about one response, by a client whose key was good (`client` is its name)."""

    method: str
    asked: Asked
    query: str
    client: str


class StoredResponses:
    """Passes such requests on, with the provider's own key."""

    def __init__(self, settings: GatewaySettings, transports: Mapping[str, Transport], origins: Origins) -> None:
        self._settings = settings
        self._transports = transports
        self._origins = origins
        self._private = frozenset().union(*map(private_headers, settings.workloads))
        self._speaking = [name for name, upstream in settings.upstreams.items() if _WIRE in upstream.wires]

    async def serve(self, stored: Stored, exchange: Exchange) -> None:
        """Answer as the provider does.

        Raises:
            Refused: if there is no such response here, or the provider gives no answer.
        """
        provider = self._provider(stored)
        upstream = self._settings.upstreams[provider]
        target = upstream.target(_WIRE, stored.asked.path.removeprefix("/v1"))
        said = headers.on_wire(headers.to_provider(exchange.head.lines, self._private), _WIRE, is_apps_own=False)
        query = f"?{stored.query}" if stored.query else ""
        request = Request(f"{target}{query}", upstream.completed(_WIRE, said), method=stored.method)
        is_stream = "stream=true" in stored.query.split("&")
        try:
            call = await self._transports[provider].send(request, is_stream)
            try:
                head = await call.head()
                body = b"" if is_stream else await call.read(self._settings.max_answer_bytes)
                lines_back = headers.to_app(head.headers)
                if not is_stream:
                    await exchange.answer(head.status, [*lines_back, (b"content-length", b"%d" % len(body))], body)
                    return
                await exchange.begin(head.status, lines_back)
                while chunk := await call.chunk():
                    exchange.more(chunk)
                    await exchange.drained()
                exchange.end()
            finally:
                call.close()
        except CallFailed as failed:
            if exchange.is_begun:
                raise ConnectionAbortedError("an answer that has begun can only be ended early by closing") from None
            raise Refused(failed.failure.status, "The provider gave no answer.", failed.failure.value) from None

    def _provider(self, stored: Stored) -> str:
        origin = self._origins.of(stored.asked.response)
        if origin is not None and origin.client == stored.client and origin.provider in self._speaking:
            return origin.provider
        if origin is None and len(self._speaking) == 1:
            return self._speaking[0]
        raise Refused(404, f"Response with id {stored.asked.response!r} not found.", "not_found")
