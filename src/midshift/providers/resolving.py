"""What an alias, a deployment or a route stands for today: asked of whoever knows, where credentials allow.

Owns the questions to the vendors' control planes and the reading of their answers. Both are pure: `question` makes the
request or says why it cannot be asked, `answer` reads what came back, `resolve` is the shell between. Nothing here
raises to the user: whatever goes wrong is a `Resolution` that says "not resolved", and an id that is not resolved
stays in its class. The shapes were read in the vendors' packages and pages, and no live vendor was asked.
Elsewhere: the classes (pins), the socket (ports.Http).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import quote

import msgspec

from midshift.ports import Http, HttpAnswer, HttpFailed, HttpRequest
from midshift.providers import pins
from midshift.providers.lifecycle import sigv4
from midshift.providers.lifecycle.answers import Access, at_root
from midshift.providers.pins import Evidence, Pin, PinClass

TIMEOUT_S = 10.0

_ANTHROPIC = "https://api.anthropic.com"
_AZURE = "https://management.azure.com"
_AZURE_API = "2024-10-01"
_MISTRAL = "https://api.mistral.ai"
_OPENROUTER = "https://openrouter.ai"
_NO_CREDENTIALS = "no credentials"
_ARN = re.compile(r"arn:aws[\w-]*:bedrock:(?P<region>[a-z0-9-]+):\d*:(?P<kind>[\w-]+)[/:]", re.ASCII)
_BEDROCK_PATHS = {
    "application-inference-profile": "inference-profiles",
    "inference-profile": "inference-profiles",
    "provisioned-model": "provisioned-model-throughput",
}


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a control plane said. `pin` is None where it is not resolved, and `why` says why not.

    `serves` are the models behind the id, as the control plane names them.
    """

    why: str
    pin: Pin | None = None
    serves: tuple[str, ...] = ()


class _ProfileModel(msgspec.Struct):
    arn: str = msgspec.field(name="modelArn")


class _Profile(msgspec.Struct):
    """Bedrock's GetInferenceProfile (botocore 1.44.5, GetInferenceProfileResponse)."""

    models: list[_ProfileModel]


class _Provisioned(msgspec.Struct):
    """Bedrock's GetProvisionedModelThroughput (botocore 1.44.5, GetProvisionedModelThroughputResponse)."""

    arn: str = msgspec.field(name="modelArn")
    desired: str = msgspec.field(name="desiredModelArn")


class _AzureModel(msgspec.Struct):
    name: str
    version: str | None = None


class _AzureProperties(msgspec.Struct):
    model: _AzureModel
    upgrades: str | None = msgspec.field(name="versionUpgradeOption", default=None)


class _Deployment(msgspec.Struct):
    """Azure's accounts/deployments (azure-mgmt-cognitiveservices 14.1.0, Deployment)."""

    properties: _AzureProperties


class _Card(msgspec.Struct):
    """A model of Mistral's list (mistralai 3.7.0, BaseModelCard)."""

    id: str
    aliases: list[str] | None = None


class _Cards(msgspec.Struct):
    data: list[_Card]


class _Target(msgspec.Struct):
    slug: str


class _Listed(msgspec.Struct):
    """A model of OpenRouter's list (openrouter 1.3.84, Model)."""

    id: str
    canonical_slug: str | None = None
    alias_target: _Target | None = None


class _Listing(msgspec.Struct):
    data: list[_Listed]


class _RouteParams(msgspec.Struct):
    model: str


class _Route(msgspec.Struct):
    """A deployment of a LiteLLM proxy (litellm 1.109.1, GET /v1/model/info)."""

    model_name: str
    litellm_params: _RouteParams


class _Routes(msgspec.Struct):
    data: list[_Route]


class _Info(msgspec.Struct):
    """A model of Anthropic's (anthropic 2.12.0, ModelInfo)."""

    id: str


async def resolve(http: Http | None, vendor: str, model: str, access: Access, now: datetime) -> Resolution:
    """Ask what an id stands for; what cannot be asked or is not answered is not resolved, and says why.

    `http` None asks nobody. `now` has a zone; it goes into a signature.
    """
    asked = question(vendor, model, access, now)
    if isinstance(asked, str):
        return Resolution(f"not resolved: {asked}")
    if http is None:
        return Resolution("not resolved: nobody was asked (offline)")
    try:
        got = await http.ask(asked, TIMEOUT_S)
    except HttpFailed as failure:
        return Resolution(f"not resolved: {failure.reason}: {failure}")
    return answer(vendor, model, got)


def question(vendor: str, model: str, access: Access, now: datetime) -> HttpRequest | str:
    """The request that would tell, or why there is none.

    `access.base_url` is where the vendor's paths begin; for Azure it is the account's own address,
    `https://management.azure.com/subscriptions/.../accounts/NAME`, and the secret a token of the control plane.
    """
    if access.secret is not None and not _is_token(access.secret):
        return "the key is none that a header can carry"
    match pins.bundled().vendor_of(vendor):
        case "anthropic":
            return _of_anthropic(model, access)
        case "azure":
            return _of_azure(model, access)
        case "bedrock":
            return _of_bedrock(model, access, now)
        case "litellm":
            if access.base_url is None:
                return "nobody said where the proxy is (base_url)"
            return _get(f"{at_root(access.base_url, '/v1')}/model/info", _bearer(access))
        case "mistral":
            url = f"{at_root(access.base_url or _MISTRAL, '/v1')}/models"
            return _NO_CREDENTIALS if access.secret is None else _get(url, _bearer(access))
        case "openrouter":
            return _get(f"{at_root(access.base_url or _OPENROUTER, '/api/v1')}/models", _bearer(access))
        case _:
            return f"{vendor!r} has no control plane that says more than the id"


def answer(vendor: str, model: str, got: HttpAnswer) -> Resolution:
    """What came back, read; never raises."""
    if got.status != 200:
        return Resolution(f"not resolved: {_refusal(got.status)}")
    try:
        return _read(pins.bundled().vendor_of(vendor), model, got.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Resolution(f"not resolved: the answer is none that is known ({error})")


def _of_anthropic(model: str, access: Access) -> HttpRequest | str:
    if access.secret is None:
        return _NO_CREDENTIALS
    url = f"{at_root(access.base_url or _ANTHROPIC, '/v1')}/models/{quote(model, safe='')}"
    return _get(url, {"x-api-key": access.secret, "anthropic-version": "2023-06-01"})


def _of_azure(model: str, access: Access) -> HttpRequest | str:
    """The API version is the one of Microsoft's examples of accounts/deployments."""
    if access.secret is None:
        return _NO_CREDENTIALS
    if access.base_url is None or not access.base_url.startswith(f"{_AZURE}/subscriptions/"):
        return f"expected the address of the account, {_AZURE}/subscriptions/.../accounts/NAME"
    url = f"{access.base_url.rstrip('/')}/deployments/{quote(model, safe='')}?api-version={_AZURE_API}"
    return _get(url, _bearer(access))


def _of_bedrock(model: str, access: Access, now: datetime) -> HttpRequest | str:
    """By a bearer token, or signed. That a bearer token may read the control plane is not verified."""
    found = _ARN.match(model)
    if found is None:
        return "Bedrock's control plane is asked about an ARN only"
    path = _BEDROCK_PATHS.get(found["kind"])
    if path is None:
        return f"Bedrock is not asked about a {found['kind']!r}"
    region = found["region"]
    base = (access.base_url or f"https://bedrock.{region}.amazonaws.com").rstrip("/")
    url = f"{base}/{path}/{quote(model, safe='')}"
    if access.secret is not None:
        return _get(url, _bearer(access))
    if access.signing is None:
        return _NO_CREDENTIALS
    return _get(url, sigv4.signed_get(url, access.signing, region, "bedrock", now))


def _read(vendor: str | None, model: str, body: bytes) -> Resolution:
    match vendor:
        case "anthropic":
            return _stands_for(vendor, model, [msgspec.json.decode(body, type=_Info).id], "Anthropic's model")
        case "azure":
            return _of_deployment(msgspec.json.decode(body, type=_Deployment).properties)
        case "bedrock" if ":provisioned-model/" in model:
            found = msgspec.json.decode(body, type=_Provisioned)
            return _serves([found.arn, found.desired])
        case "bedrock":
            return _serves([item.arn for item in msgspec.json.decode(body, type=_Profile).models])
        case "mistral":
            return _of_cards(model, msgspec.json.decode(body, type=_Cards).data)
        case "openrouter":
            return _of_listing(model, msgspec.json.decode(body, type=_Listing).data)
        case "litellm":
            return _of_routes(model, msgspec.json.decode(body, type=_Routes).data)
        case _:
            return Resolution(f"not resolved: nobody is asked about {vendor!r}")


def _of_deployment(found: _AzureProperties) -> Resolution:
    serves = f"{found.model.name} {found.model.version or '(no version)'}"
    match found.upgrades:
        case "NoAutoUpgrade":
            cls, why = PinClass.PINNED, "never upgraded by itself: it stops working when the version retires"
        case "OnceCurrentVersionExpired":
            cls, why = PinClass.PINNED, "upgraded only when the version retires"
        case "OnceNewDefaultVersionAvailable":
            cls, why = PinClass.FLOATING, "upgraded within two weeks of a new default version"
        case None:
            # Microsoft's page equates null with an upgrade at retirement, but does not promise it for every model.
            cls, why = PinClass.FLOATING, "versionUpgradeOption is not set: set it to NoAutoUpgrade to pin it"
        case other:
            cls, why = PinClass.UNKNOWN, f"versionUpgradeOption is {other!r}, which is not known; treated as floating"
    if cls is PinClass.PINNED and not found.model.version:
        cls, why = PinClass.FLOATING, "the deployment names no version of its model"
    source = "management.azure.com, versionUpgradeOption"
    pin = Pin(cls, f"serves {serves}: {why}", "azure.versionUpgradeOption", None, source, Evidence.DOCUMENTED)
    return Resolution(pin.why, pin, (serves,))


def _of_cards(model: str, cards: list[_Card]) -> Resolution:
    """An alias of Mistral's has a card of its own, and both cards name the other one."""
    names = [name for card in cards if model in _names(card) for name in _names(card)]
    return _stands_for("mistral", model, names, "Mistral's list of models")


def _names(card: _Card) -> tuple[str, ...]:
    return card.id, *(card.aliases or ())


def _of_listing(model: str, listed: list[_Listed]) -> Resolution:
    base = model.partition(":")[0]
    found = next((item for item in listed if base in (item.id, item.canonical_slug)), None)
    if found is None:
        return Resolution("not resolved: OpenRouter lists no such model")
    target = found.alias_target.slug if found.alias_target else found.canonical_slug
    canonical = next((item.canonical_slug for item in listed if item.id == target), None)
    return _stands_for(
        "openrouter", model, [name for name in (canonical, target) if name], "OpenRouter's list of models"
    )


def _of_routes(model: str, routes: list[_Route]) -> Resolution:
    behind = tuple(dict.fromkeys(route.litellm_params.model for route in routes if route.model_name == model))
    if not behind:
        return Resolution(f"not resolved: the proxy has no route {model!r}")
    return _together(behind, "the proxy's model_list", _behind_route)


def _behind_route(name: str) -> Pin:
    """A model of LiteLLM's is `provider/model`; without a provider LiteLLM guesses one, and nobody else does."""
    provider, slash, rest = name.partition("/")
    return pins.classify(provider, rest) if slash else pins.classify("", name)


def _serves(arns: list[str]) -> Resolution:
    behind = tuple(dict.fromkeys(arn.rpartition("/")[2] for arn in arns))
    if not behind:
        return Resolution("not resolved: it names no model")
    return _together(behind, "Bedrock's control plane", lambda name: pins.classify("bedrock", name))


def _together(behind: tuple[str, ...], source: str, classified: Callable[[str], Pin]) -> Resolution:
    """One model gives its class; several are a router, whatever they are."""
    if len(behind) > 1:
        why = f"serves several models: {', '.join(behind)}"
        return Resolution(why, Pin(PinClass.FLOATING, why, None, None, source, Evidence.PACKAGE), behind)
    found = classified(behind[0])
    why = f"serves {behind[0]}, which is {found.cls.value}: {found.why}"
    return Resolution(why, replace(found, why=why, source=f"{source}; {found.source}"), behind)


def _stands_for(vendor: str, model: str, names: list[str], source: str) -> Resolution:
    """An alias stays an alias, whatever it stands for today; what it stands for is the pin to use."""
    own = pins.classify(vendor, model)
    others = tuple(dict.fromkeys(name for name in names if name != model))
    firm = [name for name in others if pins.policy(pins.classify(vendor, name).cls).is_firm]
    if not names:
        return Resolution(f"not resolved: {source} has no {model!r}")
    if len(firm) != 1:
        return Resolution(f"{source} names no single pin for it", own, others)
    why = f"stands for {firm[0]} today, by {source}"
    return Resolution(why, replace(own, why=f"{own.why}; {why}", pinned_as=firm[0]), others)


def _get(url: str, headers: Mapping[str, str]) -> HttpRequest:
    return HttpRequest("GET", url, {"accept": "application/json", **headers})


def _bearer(access: Access) -> dict[str, str]:
    return {} if access.secret is None else {"authorization": f"Bearer {access.secret}"}


def _is_token(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _refusal(status: int) -> str:
    match status:
        case 401 | 403:
            return f"the credentials were refused (status {status})"
        case 404:
            return "the vendor does not know it (status 404)"
        case 429:
            return "too many requests (status 429); try again later"
        case _:
            return f"status {status}"
