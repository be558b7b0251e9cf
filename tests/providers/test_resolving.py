"""What vendors answer about aliases, deployments and routes, and everything else that may come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.ports import HttpAnswer, HttpFailed, HttpRequest
from midshift.providers import resolving
from midshift.providers.lifecycle.answers import Access, SigningKeys
from midshift.providers.pins import PinClass
from midshift.providers.resolving import Resolution

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = Access(None, "k-123")
ARM = "https://management.azure.com/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a"
ACCOUNT = Access(ARM, "t-1")
PROXY = Access("http://127.0.0.1:4000", "sk-1")
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123"
PROVISIONED = "arn:aws:bedrock:eu-west-1:123456789012:provisioned-model/abc123"
FOUNDATION = "arn:aws:bedrock:eu-west-1::foundation-model/"


@dataclass
class FakeHttp:
    """Gives one answer, or fails, and keeps what it was asked."""

    answer: HttpAnswer | HttpFailed
    asked: list[HttpRequest] = field(default_factory=list)

    def ask(self, request: HttpRequest, timeout_s: float) -> Awaitable[HttpAnswer]:
        self.asked.append(request)
        return self._answer()

    async def _answer(self) -> HttpAnswer:
        if isinstance(self.answer, HttpFailed):
            raise self.answer
        return self.answer


def asked(vendor: str, model: str, access: Access, answer: object) -> tuple[Resolution, FakeHttp]:
    """The resolution, given a JSON answer of status 200."""
    http = FakeHttp(HttpAnswer(200, {}, json.dumps(answer).encode()))
    return asyncio.run(resolving.resolve(http, vendor, model, access, NOW)), http


def deployment(option: str | None, version: str | None = "2024-11-20") -> dict[str, object]:
    """A deployment as Azure's control plane describes it."""
    model = {"format": "OpenAI", "name": "gpt-4o", "version": version}
    return {"name": "support", "properties": {"model": model, "versionUpgradeOption": option, "raiPolicyName": "x"}}


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("NoAutoUpgrade", PinClass.PINNED),
        ("OnceCurrentVersionExpired", PinClass.PINNED),
        ("OnceNewDefaultVersionAvailable", PinClass.FLOATING),
        (None, PinClass.FLOATING),
        ("SomethingNew", PinClass.UNKNOWN),
    ],
)
def test_an_azure_deployment_is_what_its_upgrade_option_says(option: str | None, expected: PinClass) -> None:
    """The name says nothing, not even one with a date in it."""
    found, http = asked("azure", "gpt-4o-2024-11-20", ACCOUNT, deployment(option))

    assert found.pin is not None
    assert expected is found.pin.cls
    assert ("gpt-4o 2024-11-20",) == found.serves
    assert f"{ARM}/deployments/gpt-4o-2024-11-20?api-version=2024-10-01" == http.asked[0].url
    assert "Bearer t-1" == http.asked[0].headers["authorization"]


def test_an_azure_deployment_without_a_version_is_no_pin() -> None:
    found, _ = asked("azure", "support", ACCOUNT, deployment("NoAutoUpgrade", None))

    assert found.pin is not None
    assert PinClass.FLOATING is found.pin.cls


def test_an_inference_profile_is_what_its_one_model_is() -> None:
    """In several regions it is the same model under several ARNs."""
    arns = [f"arn:aws:bedrock:{at}::foundation-model/anthropic.claude-sonnet-4-6" for at in ("eu-west-1", "eu-north-1")]
    found, http = asked("bedrock", PROFILE, KEY, {"models": [{"modelArn": arn} for arn in arns], "status": "ACTIVE"})

    assert found.pin is not None
    assert (PinClass.PINNED, ("anthropic.claude-sonnet-4-6",)) == (found.pin.cls, found.serves)
    (request,) = http.asked
    assert request.url.startswith("https://bedrock.eu-west-1.amazonaws.com/inference-profiles/arn%3Aaws%3A")
    assert "Bearer k-123" == request.headers["authorization"]


def test_a_profile_of_several_models_floats_between_them() -> None:
    arns = [f"{FOUNDATION}anthropic.claude-sonnet-4-6", f"{FOUNDATION}amazon.nova-pro-v1:0"]
    found, _ = asked("bedrock", PROFILE, KEY, {"models": [{"modelArn": arn} for arn in arns]})

    assert found.pin is not None
    assert PinClass.FLOATING is found.pin.cls
    assert "serves several models" in found.why


def test_provisioned_throughput_on_its_way_to_another_model_floats() -> None:
    """`desiredModelArn` is what it will serve next."""
    now, then = f"{FOUNDATION}amazon.nova-pro-v1:0", f"{FOUNDATION}amazon.nova-pro-v2:0"

    still, http = asked("bedrock", PROVISIONED, KEY, {"modelArn": now, "desiredModelArn": now})
    moving, _ = asked("bedrock", PROVISIONED, KEY, {"modelArn": now, "desiredModelArn": then})

    assert (still.pin and still.pin.cls, moving.pin and moving.pin.cls) == (PinClass.PINNED, PinClass.FLOATING)
    assert "/provisioned-model-throughput/" in http.asked[0].url


def test_without_a_token_bedrock_is_asked_with_a_signature() -> None:
    access = Access(signing=SigningKeys("AKID", "secret"))
    asked_for = resolving.question("bedrock", PROFILE, access, NOW)

    assert isinstance(asked_for, HttpRequest)
    assert asked_for.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/20261122/eu-west-1/bedrock/")


def test_an_alias_of_mistral_stays_an_alias_and_names_its_pin() -> None:
    cards = {
        "object": "list",
        "data": [
            {"id": "mistral-large-2411", "aliases": ["mistral-large-latest"], "deprecation": None},
            {"id": "mistral-large-latest", "aliases": ["mistral-large-2411"]},
            {"id": "codestral-2508", "aliases": []},
        ],
    }
    found, http = asked("mistral", "mistral-large-latest", KEY, cards)

    assert found.pin is not None
    assert (PinClass.FLOATING, "mistral-large-2411") == (found.pin.cls, found.pin.pinned_as)
    assert "https://api.mistral.ai/v1/models" == http.asked[0].url


def test_an_alias_of_anthropic_is_answered_with_its_model() -> None:
    answer = {"id": "claude-sonnet-4-5-20250929", "type": "model", "lifecycle": "deprecated"}
    found, http = asked("anthropic", "claude-sonnet-4-5", KEY, answer)

    assert found.pin is not None
    assert "claude-sonnet-4-5-20250929" == found.pin.pinned_as
    assert "https://api.anthropic.com/v1/models/claude-sonnet-4-5" == http.asked[0].url
    assert "k-123" == http.asked[0].headers["x-api-key"]


def test_an_alias_of_openrouter_names_its_target() -> None:
    target = {"id": "anthropic/claude-sonnet-4.6", "canonical_slug": "anthropic/claude-4.6-sonnet-20260217"}
    alias = {"id": "~anthropic/claude-sonnet-latest", "alias_target": {"slug": "anthropic/claude-sonnet-4.6"}}
    found, http = asked("openrouter", "~anthropic/claude-sonnet-latest", Access(), {"data": [target, alias]})

    assert found.pin is not None
    assert (PinClass.FLOATING, "anthropic/claude-4.6-sonnet-20260217") == (found.pin.cls, found.pin.pinned_as)
    assert {"accept": "application/json"} == dict(http.asked[0].headers), "the list is public: no key is shown"


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (["openai/gpt-5-2025-08-07"], PinClass.PINNED),
        (["openai/gpt-5"], PinClass.FLOATING),
        (["gpt-5-2025-08-07"], PinClass.UNKNOWN),
        (["openai/gpt-5-2025-08-07", "azure/other"], PinClass.FLOATING),
    ],
)
def test_a_route_of_a_proxy_is_what_is_behind_it(models: list[str], expected: PinClass) -> None:
    """Two deployments behind one name are a router, however pinned each is."""
    routes = [{"model_name": "support", "litellm_params": {"model": model}, "model_info": {}} for model in models]
    other = {"model_name": "other", "litellm_params": {"model": "openai/gpt-4o"}}
    found, http = asked("litellm", "support", PROXY, {"data": [*routes, other]})

    assert found.pin is not None
    assert expected is found.pin.cls
    assert "http://127.0.0.1:4000/v1/model/info" == http.asked[0].url


ANSWERED = [
    ("anthropic", "claude-sonnet-4-5", KEY),
    ("azure", "support", ACCOUNT),
    ("bedrock", PROFILE, KEY),
    ("bedrock", PROVISIONED, KEY),
    ("litellm", "support", PROXY),
    ("mistral", "mistral-large-latest", KEY),
    ("openrouter", "~anthropic/claude-sonnet-latest", Access()),
]


@pytest.mark.parametrize(("vendor", "model", "access"), ANSWERED)
@pytest.mark.parametrize(
    ("status", "words"), [(401, "refused"), (403, "refused"), (404, "404"), (429, "429"), (503, "503")]
)
def test_a_refusal_says_why_it_is_not_resolved(
    vendor: str, model: str, access: Access, status: int, words: str
) -> None:
    http = FakeHttp(HttpAnswer(status, {}, b"<html>no</html>"))
    found = asyncio.run(resolving.resolve(http, vendor, model, access, NOW))

    assert found.pin is None
    assert found.why.startswith("not resolved: ")
    assert words in found.why


@pytest.mark.parametrize(("vendor", "model", "access"), ANSWERED)
@pytest.mark.parametrize("reason", ["unreachable", "timeout", "broken", "too_large", "busy"])
def test_no_answer_is_not_resolved(vendor: str, model: str, access: Access, reason: str) -> None:
    http = FakeHttp(HttpFailed(reason, "host.example did not answer"))

    assert Resolution(f"not resolved: {reason}: host.example did not answer") == asyncio.run(
        resolving.resolve(http, vendor, model, access, NOW)
    )


@given(
    st.sampled_from(ANSWERED),
    st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "data",
                            "models",
                            "modelArn",
                            "desiredModelArn",
                            "id",
                            "aliases",
                            "properties",
                            "model",
                            "name",
                            "version",
                            "versionUpgradeOption",
                            "litellm_params",
                            "model_name",
                            "alias_target",
                            "slug",
                            "canonical_slug",
                        ]
                    ),
                    inner,
                )
            ),
        ).map(lambda found: json.dumps(found).encode()),
    ),
)
def test_no_answer_makes_it_raise(case: tuple[str, str, Access], body: bytes) -> None:
    """What comes over the network is somebody else's."""
    vendor, model, _ = case

    found = resolving.answer(vendor, model, HttpAnswer(200, {}, body))

    assert found.why


@pytest.mark.parametrize(
    ("vendor", "model", "access", "words"),
    [
        ("anthropic", "claude-sonnet-4-5", Access(), "no credentials"),
        ("mistral", "mistral-large-latest", Access(), "no credentials"),
        ("bedrock", PROFILE, Access(), "no credentials"),
        ("azure", "support", Access(ARM), "no credentials"),
        ("azure", "support", Access("https://a.openai.azure.com", "t"), "the address of the account"),
        ("azure", "support", Access("https://management.azure.com.evil.example/subscriptions/s", "t"), "the address"),
        ("bedrock", "amazon.nova-pro-v1:0", KEY, "about an ARN only"),
        ("bedrock", "arn:aws:bedrock:eu-west-1:1:prompt-router/x", KEY, "'prompt-router'"),
        ("bedrock", "arn:aws:bedrock:evil.example/:1:inference-profile/x", KEY, "about an ARN only"),
        ("litellm", "support", Access(), "where the proxy is"),
        ("openai", "gpt-4o", KEY, "no control plane"),
        ("nobody", "x", KEY, "no control plane"),
        ("mistral", "mistral-large-latest", Access(None, "a\r\nHost: evil"), "none that a header can carry"),
    ],
)
def test_what_cannot_be_asked_says_why(vendor: str, model: str, access: Access, words: str) -> None:
    http = FakeHttp(HttpFailed("broken", "nobody should have asked"))
    found = asyncio.run(resolving.resolve(http, vendor, model, access, NOW))

    assert ([], None) == (http.asked, found.pin)
    assert "not resolved: " in found.why
    assert words in found.why


def test_offline_nobody_is_asked() -> None:
    assert (
        "not resolved: nobody was asked (offline)"
        == asyncio.run(resolving.resolve(None, "mistral", "mistral-large-latest", KEY, NOW)).why
    )


@pytest.mark.parametrize(
    ("vendor", "model", "access", "answer"),
    [
        ("mistral", "mistral-gone", KEY, {"data": []}),
        ("openrouter", "a/b", Access(), {"data": []}),
        ("litellm", "support", PROXY, {"data": []}),
        ("bedrock", PROFILE, KEY, {"models": []}),
    ],
)
def test_a_model_that_is_not_in_the_answer_is_not_resolved(
    vendor: str, model: str, access: Access, answer: object
) -> None:
    found, _ = asked(vendor, model, access, answer)

    assert found.pin is None
    assert found.why.startswith("not resolved: ")
