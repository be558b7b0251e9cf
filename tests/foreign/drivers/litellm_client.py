"""Drives the router of the package `litellm`, as an app does: `api_base` is a gateway."""

from typing import Any

import litellm  # type: ignore[import-not-found]
from answering import answer  # type: ignore[import-not-found]


def ask(root: str, provider: str, model: str, text: str, stream: bool = False) -> Any:
    """An answer through the router."""
    given = {"model": f"{provider}/{model}", "api_base": root, "api_key": "sk-of-the-app"}
    router = litellm.Router([{"model_name": "support", "litellm_params": given}], num_retries=0)
    messages = [{"role": "user", "content": text}]
    found = router.completion(model="support", messages=messages, stream=stream, max_tokens=2000)
    chunks = list(found) if stream else []
    whole = litellm.stream_chunk_builder(chunks) if stream else found
    return {"pieces": len(chunks), **whole.model_dump(mode="json")}


if __name__ == "__main__":
    answer({"ask": ask})
