"""Asking every vendor about its models, and falling back with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime

import pytest

from midshift.domain.retirement import ModelName, Retirement, Source, State
from midshift.errors import ConfigError
from midshift.ports import HttpAnswer, HttpFailed, HttpRequest
from midshift.providers.lifecycle.answers import Access
from midshift.providers.lifecycle.radar import Limits, look
from tests.providers.lifecycle.fakes import Table, answer, lists

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BASE = "http://vendor.test/v1"
URL = f"{BASE}/models/gpt-old"
OLD = ModelName("openai", "gpt-old")
ACCESS = {"openai": Access(BASE, "key"), "mistral": Access(BASE, "key"), "anthropic": Access(BASE, "key")}
NOT_FOUND = {"error": {"message": "The model does not exist", "code": "model_not_found"}}


def seen(http: Table | Failing | None, *models: ModelName, access: Mapping[str, Access] = ACCESS) -> list[Retirement]:
    """One look."""
    return asyncio.run(look(models, http, access, lists(), NOW, Limits(at_once=2)))


class Failing:
    """Implements `ports.Http`: it cannot even begin to ask."""

    async def ask(self, request: HttpRequest, timeout_s: float) -> HttpAnswer:
        """Nothing."""
        raise ConfigError("no certificate authorities, expected some")


def test_a_vendor_that_states_a_date_is_believed() -> None:
    http = Table({URL: answer(200, {"id": "gpt-old", "shutdown_date": "2027-01-01"})})

    found = seen(http, OLD)[0]

    assert (date(2027, 1, 1), Source.LIVE_API, URL) == (found.shuts_down_on, found.source, found.origin)
    assert (NOW.date(), True) == (found.as_of, found.callable)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (HttpFailed("timeout", "vendor.test: nothing in 10 s"), "vendor.test: timeout"),
        (HttpFailed("unreachable", "vendor.test: refused"), "vendor.test: unreachable"),
        (HttpFailed("broken", "vendor.test: half an answer"), "vendor.test: broken"),
        (HttpFailed("too_large", "vendor.test: 1 GB"), "vendor.test: too large"),
        (answer(400, {"error": {}}), "answered 400, the request was refused"),
        (answer(401, {"error": {}}), "answered 401, the key was refused"),
        (answer(403, {"error": {}}), "answered 403, the key may not ask this"),
        (answer(404, b"<html>nothing here</html>"), "answered 404, no such address"),
        (answer(404, {"detail": "Not Found"}), "answered 404, no such address"),
        (answer(429, {"error": {}}), "answered 429, asked too often"),
        (answer(302), "answered 302, unexpected"),
        (answer(500, b"oops"), "answered 500, the vendor is in trouble"),
        (answer(503), "answered 503, the vendor is in trouble"),
        (answer(200, b"<html>log in first</html>"), "no JSON"),
        (answer(200, b'{"id": "gpt-old", "shutdown_date": "20'), "no JSON"),
        (answer(200, b""), "no JSON"),
        (answer(200, ["gpt-old"]), "a list, expected an object"),
        (answer(200, {"id": "gpt-old", "object": "model"}), "no field 'shutdown_date'"),
        (answer(200, {"id": "gpt-old", "shutdown_date": 5}), "a number, expected a date"),
        (answer(200, {"id": "gpt-old", "shutdown_date": "2027-13-01"}), "'2027-13-01', expected a date"),
    ],
)
def test_whatever_fails_falls_back_to_the_catalogue_and_says_why(reply: HttpAnswer | HttpFailed, reason: str) -> None:
    """With source and age: a date of three weeks ago is another thing than a date of today."""
    found = seen(Table({URL: reply}), OLD)[0]

    assert (date(2027, 3, 1), Source.CATALOGUE) == (found.shuts_down_on, found.source)
    assert 21 == found.age_days(NOW.date())
    assert found.notes[0].startswith("vendor's API: ")
    assert reason in found.notes[0]
    assert found.callable is None


@pytest.mark.parametrize("status", [404, 410])
def test_a_model_that_the_vendor_does_not_know_is_not_callable(status: int) -> None:
    found = seen(Table({URL: answer(status, NOT_FOUND)}), OLD)[0]

    assert found.callable is False
    assert "does not know this model" in found.notes[0]


def test_a_machine_that_cannot_ask_falls_back_too() -> None:
    """No authorities to verify a server with: the catalogue needs none."""
    found = seen(Failing(), OLD)[0]

    assert Source.CATALOGUE is found.source
    assert "no certificate authorities" in found.notes[0]


def test_offline_nobody_is_asked() -> None:
    found = seen(None, OLD)[0]

    assert Source.CATALOGUE is found.source
    assert ("vendor's API not asked: offline",) == found.notes


def test_without_a_key_nobody_is_asked() -> None:
    http = Table({})

    found = seen(http, OLD, access={})[0]

    assert [] == http.asked
    assert ("vendor's API not asked: needs OPENAI_API_KEY",) == found.notes


def test_a_refused_key_is_shown_the_other_way_once() -> None:
    url = f"{BASE}/models/claude-old"
    said = {"id": "claude-old", "lifecycle": "deprecated", "retires_at": "2027-02-01T00:00:00Z"}
    http = Table({url: [answer(401, {"error": {}}), answer(200, said)]})

    found = seen(http, ModelName("anthropic", "claude-old"))[0]

    assert ["authorization", "x-api-key"] == [next(iter(request.headers)) for request in http.asked]
    assert (date(2027, 2, 1), Source.LIVE_API) == (found.shuts_down_on, found.source)


def test_a_vendor_that_refuses_every_way_is_told_once() -> None:
    url = f"{BASE}/models/claude-old"
    http = Table({url: [answer(401, {"error": {}}), answer(401, {"error": {}})]})

    found = seen(http, ModelName("anthropic", "claude-old"))[0]

    assert ("vendor's API: vendor.test answered 401, the key was refused",) == found.notes
    assert Source.CATALOGUE is found.source


def test_a_list_of_all_models_is_asked_for_once() -> None:
    cards = [{"id": "a", "deprecation": "2027-01-01T00:00:00Z"}, {"id": "b"}]
    http = Table({f"{BASE}/models": answer(200, {"data": cards})})

    found = seen(http, *(ModelName("mistral", name) for name in ("a", "b", "c", "a")))

    assert 1 == len(http.asked)
    assert [True, True, False] == [item.callable for item in found]
    assert [State.DEPRECATED, State.ACTIVE, State.UNKNOWN] == [item.state for item in found]


def test_each_model_is_told_once_in_the_order_of_names() -> None:
    found = seen(None, OLD, ModelName("anthropic", "claude-old"), OLD)

    assert ["anthropic/claude-old", "openai/gpt-old"] == [str(item.name) for item in found]


def test_only_so_many_are_asked_at_once() -> None:
    """A vendor's limit of requests is the product's as well."""
    names = [f"m{number}" for number in range(9)]
    http = Table({f"{BASE}/models/{name}": answer(200, {"id": name, "shutdown_date": None}) for name in names})

    seen(http, *(ModelName("openai", name) for name in names))

    assert 9 == len(http.asked)
    assert 2 == http.most_at_once


def test_a_host_that_is_away_is_not_waited_for_again() -> None:
    """Forty models of one vendor would be forty timeouts."""
    names = [f"m{number}" for number in range(9)]
    http = Table({f"{BASE}/models/{name}": HttpFailed("timeout", "") for name in names})

    found = seen(http, *(ModelName("openai", name) for name in names))

    assert 2 == len(http.asked)
    assert 9 == sum("vendor's API: vendor.test: timeout" in item.notes for item in found)


def test_a_provider_of_another_name_is_asked_as_its_vendor() -> None:
    http = Table({URL: answer(200, {"id": "gpt-old", "shutdown_date": "2027-01-01"})})

    found = seen(http, ModelName("eu", "gpt-old"), access={"eu": Access(BASE, "key", vendor="openai")})[0]

    assert ("eu", Source.LIVE_API) == (found.provider, found.source)


def test_the_secret_is_in_no_result() -> None:
    http = Table({URL: answer(401, {"error": {"message": "Incorrect API key provided: hush"}})})

    found = seen(http, OLD, access={"openai": Access(BASE, "hush")})

    assert "hush" not in repr(found)
