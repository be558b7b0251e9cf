"""How early a vendor promises to announce a shutdown.

OpenAI (developers.openai.com/docs/deprecations): generally available models at least 6 months, specialised variants
such as chat, Codex and deep research at least 3, models with `preview` in their name "such as 2 weeks"; all of it
"unless safety or compliance concerns require a faster timeline". Anthropic
(platform.claude.com/docs/en/about-claude/model-deprecations): at least 60 days, for publicly released models on the
platforms that it runs itself. Months are counted at their shortest.
"""

from __future__ import annotations

import re
from datetime import timedelta

from midshift.domain.retirement import Notice

_OPENAI = "https://developers.openai.com/docs/deprecations"
_ANTHROPIC = "https://platform.claude.com/docs/en/about-claude/model-deprecations"
_UNLESS = ", safety and compliance excepted,"

_GENERAL = Notice(timedelta(days=181), f"at least 6 months of notice{_UNLESS}", _OPENAI)
_SPECIAL = Notice(timedelta(days=89), f"at least 3 months of notice{_UNLESS}", _OPENAI)
_PREVIEW = Notice(timedelta(weeks=2), f"about 2 weeks of notice{_UNLESS}", _OPENAI)
_CLAUDE = Notice(timedelta(days=60), "at least 60 days of notice", _ANTHROPIC)

_SPECIALISED = re.compile(r"-chat(-latest)?$|codex|deep-research|image")


def notice(provider: str, model: str) -> Notice | None:
    """The vendor's promise for a model; None where none is known."""
    match provider:
        case "openai" if "preview" in model:
            return _PREVIEW
        case "openai":
            return _SPECIAL if _SPECIALISED.search(model) else _GENERAL
        case "anthropic":
            return None if "preview" in model else _CLAUDE
        case _:
            return None
