"""One vendor each: how it is asked, and what its documented answers mean."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.retirement import State
from midshift.errors import InputError
from midshift.ports import HttpRequest
from midshift.providers.lifecycle import anthropic, bedrock, fireworks, gemini, mistral, openai, openrouter
from midshift.providers.lifecycle.answers import Access, Found, NotAsked, SigningKeys
from midshift.providers.lifecycle.vendors import VENDORS, names, vendor_name, why_not

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = Access(secret="key")

OPENAI = {"id": "gpt-5", "created": 1, "object": "model", "owned_by": "openai", "shutdown_date": "2026-12-11"}
ANTHROPIC = {
    "type": "model",
    "id": "claude-sonnet-4-5-20250929",
    "display_name": "Claude Sonnet 4.5",
    "created_at": "2025-09-29T00:00:00Z",
    "lifecycle": "deprecated",
    "deprecated_at": "2026-09-01T00:00:00Z",
    "retires_at": "2026-11-30T17:00:00Z",
}
MISTRAL = {
    "object": "list",
    "data": [
        {"id": "mistral-large-2512", "object": "model", "aliases": ["mistral-large-latest"], "deprecation": None},
        {
            "id": "mistral-medium-2505",
            "object": "model",
            "aliases": [],
            "deprecation": "2027-01-31T12:00:00Z",
            "deprecation_replacement_model": "mistral-medium-2604",
        },
        {"id": "open-mistral-nemo", "object": "model"},
    ],
}
BEDROCK = {
    "modelDetails": {
        "modelArn": "arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-pro-v1:0",
        "modelId": "amazon.nova-pro-v1:0",
        "modelLifecycle": {
            "status": "LEGACY",
            "startOfLifeTime": "2024-12-03T00:00:00Z",
            "legacyTime": "2026-06-01T00:00:00Z",
            "publicExtendedAccessTime": "2026-12-01T00:00:00Z",
            "endOfLifeTime": "2027-06-01T00:00:00Z",
        },
    }
}
OPENROUTER = {
    "data": [
        {"id": "anthropic/claude-sonnet-4.5", "canonical_slug": "anthropic/claude-4.5-sonnet-20250929"}
        | {"expiration_date": "2026-11-30"},
        {"id": "~anthropic/claude-sonnet-latest", "canonical_slug": "~anthropic/claude-sonnet-latest"}
        | {"alias_target": {"slug": "anthropic/claude-4.5-sonnet-20250929"}, "expiration_date": None},
        {"id": "openai/gpt-6-luna", "canonical_slug": "openai/gpt-6-luna", "expiration_date": None},
    ]
}
FIREWORKS = {
    "name": "accounts/fireworks/models/deepseek-v3-0324",
    "state": "READY",
    "deprecationDate": {"year": 2027, "month": 2, "day": 3},
}


def answer(value: object) -> bytes:
    """An answer's body."""
    return json.dumps(value).encode()


def asked(vendor: str, model: str, access: Access = KEY) -> list[HttpRequest]:
    """The requests to a vendor, all that would be tried."""
    found = VENDORS[vendor].requests(model, access, NOW)
    assert not isinstance(found, NotAsked)
    return list(found)


@pytest.mark.parametrize(
    ("vendor", "model", "url"),
    [
        ("openai", "gpt-5", "https://api.openai.com/v1/models/gpt-5"),
        ("openai", "ft:gpt-4o:acme::a/b?c", "https://api.openai.com/v1/models/ft%3Agpt-4o%3Aacme%3A%3Aa%2Fb%3Fc"),
        ("anthropic", "claude-opus-5", "https://api.anthropic.com/v1/models/claude-opus-5"),
        ("mistral", "mistral-large-2512", "https://api.mistral.ai/v1/models"),
        ("gemini", "gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro"),
        ("openrouter", "openai/gpt-6-luna", "https://openrouter.ai/api/v1/models"),
        ("fireworks", "accounts/f/models/m", "https://api.fireworks.ai/v1/accounts/f/models/m"),
    ],
)
def test_a_vendor_is_asked_at_its_own_address(vendor: str, model: str, url: str) -> None:
    """What stands in a model's id stays one step of the path."""
    assert {("GET", url)} == {(request.method, request.url) for request in asked(vendor, model)}


@pytest.mark.parametrize("base", ["http://127.0.0.1:9", "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1/"])
def test_an_address_of_ones_own_may_leave_the_version_out(base: str) -> None:
    for vendor in ("openai", "anthropic", "mistral"):
        assert asked(vendor, "m", Access(base, "key"))[0].url.startswith("http://127.0.0.1:9/v1/models")


def test_fireworks_states_dates_beside_the_address_that_it_serves_from() -> None:
    access = Access("http://127.0.0.1:9/inference/v1", "key")

    assert "http://127.0.0.1:9/v1/accounts/f/models/m" == asked("fireworks", "accounts/f/models/m", access)[0].url


def test_anthropic_is_asked_in_the_new_way_first_and_then_in_the_old() -> None:
    """Its newest clients send the key as a bearer token, proxies and older ones as x-api-key."""
    new, old = asked("anthropic", "claude-opus-5")

    assert {"authorization": "Bearer key", "anthropic-version": "2026-10-21"} == new.headers
    assert {"x-api-key": "key", "anthropic-version": "2023-06-01"} == old.headers


@pytest.mark.parametrize("vendor", ["openai", "mistral"])
def test_a_key_goes_as_a_bearer_token(vendor: str) -> None:
    assert {"authorization": "Bearer key"} == asked(vendor, "m")[0].headers


def test_gemini_takes_its_key_in_a_header_of_its_own() -> None:
    assert {"x-goog-api-key": "key"} == asked("gemini", "m")[0].headers


def test_openrouter_needs_no_key() -> None:
    assert {} == asked("openrouter", "m", Access())[0].headers


@pytest.mark.parametrize(
    ("vendor", "variable"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("mistral", "MISTRAL_API_KEY"),
        ("gemini", "GEMINI_API_KEY"),
        ("fireworks", "FIREWORKS_API_KEY"),
        ("bedrock", "AWS_BEARER_TOKEN_BEDROCK"),
    ],
)
def test_without_a_key_nobody_is_asked_and_the_variable_is_named(vendor: str, variable: str) -> None:
    found = VENDORS[vendor].requests("m", Access(region="eu-central-1"), NOW)

    assert isinstance(found, NotAsked)
    assert variable in found.words


def test_bedrock_is_asked_in_its_region_about_the_model_behind_a_profile() -> None:
    access = Access(secret="token", region="eu-central-1")

    request = asked("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", access)[0]

    host = "https://bedrock.eu-central-1.amazonaws.com"
    assert f"{host}/foundation-models/anthropic.claude-sonnet-4-5-20250929-v1%3A0" == request.url
    assert {"authorization": "Bearer token"} == request.headers


def test_bedrock_takes_a_signature_where_there_is_no_token() -> None:
    access = Access(region="eu-central-1", signing=SigningKeys("AKIDEXAMPLE", "secret"))

    headers = asked("bedrock", "amazon.nova-pro-v1:0", access)[0].headers

    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/eu-central-1/bedrock/")


@pytest.mark.parametrize("region", [None, "", "eu-central-1.evil.example/", "EU"])
def test_bedrock_is_not_asked_without_a_region(region: str | None) -> None:
    """A region becomes part of a host's name, and the key goes there."""
    assert isinstance(VENDORS["bedrock"].requests("m", Access(secret="t", region=region), NOW), NotAsked)


def test_bedrock_cannot_say_what_is_behind_an_application_profile() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"

    assert isinstance(VENDORS["bedrock"].requests(arn, Access(secret="t", region="us-east-1"), NOW), NotAsked)


@pytest.mark.parametrize("model", ["accounts/f/routers/r", "m", "accounts/f/models/m#accounts/a/deployments/d"])
def test_fireworks_is_asked_only_about_what_has_a_date(model: str) -> None:
    assert isinstance(VENDORS["fireworks"].requests(model, KEY, NOW), NotAsked)


@pytest.mark.parametrize(
    ("vendor", "body", "model", "expected"),
    [
        ("openai", OPENAI, "gpt-5", Found(State.DEPRECATED, date(2026, 12, 11))),
        ("openai", OPENAI | {"shutdown_date": None}, "gpt-5", Found(State.ACTIVE)),
        (
            "anthropic",
            ANTHROPIC,
            "claude-sonnet-4-5-20250929",
            Found(State.DEPRECATED, date(2026, 11, 30)),
        ),
        (
            "anthropic",
            ANTHROPIC,
            "claude-sonnet-4-5",
            Found(State.DEPRECATED, date(2026, 11, 30), note="an alias of 'claude-sonnet-4-5-20250929'"),
        ),
        (
            "anthropic",
            ANTHROPIC | {"lifecycle": "active", "retires_at": None},
            "claude-sonnet-4-5-20250929",
            Found(State.ACTIVE),
        ),
        (
            "anthropic",
            ANTHROPIC | {"lifecycle": "retired"},
            "claude-sonnet-4-5-20250929",
            Found(State.RETIRED, date(2026, 11, 30)),
        ),
        ("mistral", MISTRAL, "mistral-large-2512", Found(State.ACTIVE)),
        (
            "mistral",
            MISTRAL,
            "mistral-medium-2505",
            Found(State.DEPRECATED, date(2027, 1, 31), "mistral-medium-2604"),
        ),
        ("mistral", MISTRAL, "mistral-large-latest", Found(State.ACTIVE, note="an alias of 'mistral-large-2512'")),
        ("mistral", MISTRAL, "open-mistral-nemo", Found(State.ACTIVE)),
        ("mistral", MISTRAL, "mistral-large-2411", None),
        (
            "bedrock",
            BEDROCK,
            "amazon.nova-pro-v1:0",
            Found(State.DEPRECATED, date(2027, 6, 1), note="dearer from 2026-12-01 on (public extended access)"),
        ),
        (
            "bedrock",
            {"modelDetails": {"modelLifecycle": {"status": "ACTIVE"}}},
            "amazon.nova-pro-v1:0",
            Found(State.ACTIVE),
        ),
        (
            "gemini",
            {"name": "models/gemini-2.5-pro", "version": "001"},
            "gemini-2.5-pro",
            Found(State.UNKNOWN, note=gemini.NO_FIELD),
        ),
        ("openrouter", OPENROUTER, "openai/gpt-6-luna", Found(State.ACTIVE)),
        ("openrouter", OPENROUTER, "openai/gpt-6-luna:nitro", Found(State.ACTIVE)),
        (
            "openrouter",
            OPENROUTER,
            "anthropic/claude-sonnet-4.5",
            Found(State.DEPRECATED, date(2026, 12, 1)),
        ),
        (
            "openrouter",
            OPENROUTER,
            "anthropic/claude-4.5-sonnet-20250929",
            Found(State.DEPRECATED, date(2026, 12, 1)),
        ),
        (
            "openrouter",
            OPENROUTER,
            "~anthropic/claude-sonnet-latest",
            Found(State.DEPRECATED, date(2026, 12, 1), note="leads to 'anthropic/claude-4.5-sonnet-20250929'"),
        ),
        ("openrouter", OPENROUTER, "nobody/nothing", None),
        (
            "fireworks",
            FIREWORKS,
            "accounts/fireworks/models/deepseek-v3-0324",
            Found(State.DEPRECATED, date(2027, 2, 3)),
        ),
        (
            "fireworks",
            {"name": "accounts/f/models/m"},
            "accounts/f/models/m",
            Found(State.ACTIVE),
        ),
    ],
)
def test_a_documented_answer_is_read(vendor: str, body: object, model: str, expected: Found | None) -> None:
    assert expected == VENDORS[vendor].read(answer(body), model)


@pytest.mark.parametrize(
    ("vendor", "body"),
    [
        ("openai", {"id": "m", "object": "model"}),
        ("openai", {"id": "m", "shutdown_date": "soon"}),
        ("openai", {"id": "m", "shutdown_date": 1765411200}),
        ("openai", {"id": "other", "shutdown_date": None}),
        ("anthropic", {"id": "m", "type": "model"}),
        ("anthropic", {"id": "m", "lifecycle": "resting"}),
        ("anthropic", {"id": "m", "lifecycle": "deprecated", "retires_at": "never"}),
        ("mistral", {"object": "list"}),
        ("mistral", {"data": {"id": "m"}}),
        ("mistral", {"data": ["m"]}),
        ("mistral", {"data": [{"id": "m", "deprecation": 5}]}),
        ("bedrock", {"modelDetails": {}}),
        ("bedrock", {"modelDetails": {"modelLifecycle": {"status": "RESTING"}}}),
        ("gemini", {"name": "models/other"}),
        ("openrouter", {"data": None}),
        ("openrouter", {"data": [{"id": "m", "expiration_date": "9999-12-31"}]}),
        ("fireworks", {"name": "m", "deprecationDate": {"year": 2027, "month": 0, "day": 0}}),
        ("fireworks", {"name": "m", "deprecationDate": "2027-01-01"}),
    ],
)
def test_a_field_that_is_missing_or_of_another_type_is_no_answer(vendor: str, body: object) -> None:
    """A proxy that leaves a field out has not said that nothing is announced."""
    with pytest.raises(InputError):
        VENDORS[vendor].read(answer(body), "m")


NAMES = (
    "id data name shutdown_date lifecycle retires_at deprecation aliases modelDetails modelLifecycle status year month "
    "endOfLifeTime modelStatus modelStage retirementTime expiration_date alias_target slug deprecationDate day"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=10) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES.split()), JSON, max_size=8)
WHERE_VENDORS_LOOK = (
    lambda value: value,
    lambda value: {"id": "m", "name": "models/m", **value},
    lambda value: {"data": [{"id": "m", **value}]},
    lambda value: {"modelDetails": {"modelLifecycle": value}},
    lambda value: {"modelStatus": value},
)
ANSWERS = st.builds(lambda put, value: json.dumps(put(value)).encode(), st.sampled_from(WHERE_VENDORS_LOOK), OBJECTS)


@pytest.mark.slow
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()) | ANSWERS)
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    """What a vendor, a proxy or a captive portal sends must never end a look at the other models."""

    def from_response(body: bytes, _: str) -> Found | None:
        return gemini.from_response(body)

    for read in (from_response, *(vendor.read for vendor in VENDORS.values())):
        try:
            found = read(body, "m")
        except InputError as refused:
            assert str(refused)
        else:
            assert found is None or found.state in State


@pytest.mark.parametrize(
    ("stage", "state"),
    [("STABLE", State.ACTIVE), ("LEGACY", State.DEPRECATED), ("DEPRECATED", State.RETIRED), ("NEW", State.UNKNOWN)],
)
def test_an_answer_of_gemini_can_say_when_its_model_ends(stage: str, state: State) -> None:
    """DEPRECATED is Google's word for a model that cannot be used any more."""
    status = {"modelStage": stage, "retirementTime": "2026-12-01T00:00:00Z", "message": "Use another."}

    found = gemini.from_response(answer({"candidates": [], "modelStatus": status}))

    assert Found(state, date(2026, 12, 1), note="Use another.") == found


def test_most_answers_of_gemini_say_nothing() -> None:
    assert gemini.from_response(answer({"candidates": []})) is None


def test_a_time_counts_by_its_day_in_utc() -> None:
    """A shutdown on the last evening of a month in California is one of the next day for a rollback in Berlin."""
    body = {"id": "m", "lifecycle": "deprecated", "retires_at": "2026-11-30T20:00:00-08:00"}

    assert Found(State.DEPRECATED, date(2026, 12, 1)) == anthropic.read(answer(body), "m")


@pytest.mark.parametrize(
    ("vendor", "model", "expected"),
    [
        (
            "openai",
            "ft:gpt-4o-mini-2024-07-18:acme::abc",
            ["ft:gpt-4o-mini-2024-07-18:acme::abc"] + ["gpt-4o-mini-2024-07-18"],
        ),
        ("bedrock", "us.amazon.nova-pro-v1:0", ["us.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"]),
        ("openrouter", "a/b:nitro", ["a/b:nitro", "a/b"]),
        ("anthropic", "claude-opus-5", ["claude-opus-5"]),
        ("sim", "old", ["old"]),
        ("azure", "gpt-4o", []),
    ],
)
def test_a_model_is_looked_up_under_the_ids_that_lists_have(vendor: str, model: str, expected: list[str]) -> None:
    """An Azure deployment may be called after one model and serve another: no list can say anything about it."""
    assert expected == list(names(vendor, model))


def test_a_provider_without_such_an_endpoint_says_so() -> None:
    assert "'together'" in why_not("together")
    assert "deployment" in why_not("azure")
    assert "bedrock" == vendor_name("bedrock_mantle")


def test_each_vendor_is_the_one_of_its_module() -> None:
    modules = (anthropic, bedrock, fireworks, gemini, mistral, openai, openrouter)

    assert {module.__name__.rpartition(".")[2]: module.VENDOR for module in modules} == dict(VENDORS)


def test_a_secret_does_not_show_when_its_access_is_printed() -> None:
    assert "hush" not in repr(Access("http://x", "hush", "eu", SigningKeys("id", "hush")))
