"""Which vendor is asked how, and who cannot be asked at all.

Elsewhere: which keys there are (the command line), what comes of the answers (settle).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from midshift.providers.lifecycle import anthropic, bedrock, fireworks, gemini, mistral, openai, openrouter
from midshift.providers.lifecycle.answers import Vendor

VENDORS: Mapping[str, Vendor] = MappingProxyType(
    {
        "anthropic": anthropic.VENDOR,
        "bedrock": bedrock.VENDOR,
        "fireworks": fireworks.VENDOR,
        "gemini": gemini.VENDOR,
        "mistral": mistral.VENDOR,
        "openai": openai.VENDOR,
        "openrouter": openrouter.VENDOR,
    }
)

_SAME = {"bedrock_mantle": "bedrock"}
_WITHOUT = {
    "azure": "an Azure deployment's name does not say which model it serves",
    "vertex": "Vertex AI has no field for it",
}


def vendor_name(provider: str) -> str:
    """The name under which a provider's models are listed and asked about."""
    return _SAME.get(provider, provider)


def why_not(vendor: str) -> str:
    """Why a vendor that is not among these cannot be asked."""
    return _WITHOUT.get(vendor, f"no endpoint of {vendor!r} is known to state it")


def names(vendor: str, model: str) -> Sequence[str]:
    """The ids under which a model may be listed elsewhere, the nearest first; none where its name is the user's."""
    if vendor == "azure":
        return ()
    known = VENDORS.get(vendor)
    return (model,) if known is None else known.names(model)
