"""How fast `midshift preflight` judges recorded requests.

    python bench/bench_preflight.py [--requests 10000]

Ratios count, not seconds: the reference is the least that any reader in Python has to do with the same lines, measured
in the same run: `json.loads` of each. Requests are synthetic, with conversations of one to eight turns and a third of
them with tools, a temperature, a kind of thinking, or more output than the candidate gives.
"""

from __future__ import annotations

import argparse
import json
import time
from random import Random

from midshift.domain.variant import Variant
from midshift.providers import capability_sources, catalogue, preflight_rules, requests
from midshift.providers.preflight import preflight
from midshift.providers.preflight_way import Candidate
from midshift.wire.protocol import WireName

_SYSTEM = "You are the support assistant of a shop. Answer in two sentences and say what happens next. " * 30
_TURN = "The app closes as soon as I open the basket, and I have tried it twice since yesterday. " * 3


def lines(count: int) -> list[bytes]:
    """A trace file of that many requests."""
    random = Random(1)
    made = []
    for number in range(count):
        turns = random.randrange(1, 9)
        messages = [{"role": ("user", "assistant")[turn % 2], "content": _TURN} for turn in range(2 * turns - 1)]
        body: dict[str, object] = {
            "model": "claude-sonnet-4-5",
            "max_tokens": random.choice((1024, 200_000)),
            "system": [{"type": "text", "text": _SYSTEM, "cache_control": {"type": "ephemeral"}}],
            "messages": messages,
        }
        if random.random() < 0.33:
            schema = {"type": "object", "properties": {f"field_{at}": {"type": "string"} for at in range(8)}}
            body |= {"temperature": 0.2, "tools": [{"name": "look_up", "input_schema": schema}]}
            body["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        row = {"id": f"r-{number}", "headers": {"anthropic-version": "2023-06-01"}, "body": body}
        made.append(json.dumps(row).encode())
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=10_000)
    rows = lines(parser.parse_args().requests)
    able = capability_sources.capabilities("anthropic", "claude-sonnet-5", catalogue.bundled())
    candidate = Candidate(Variant("anthropic", "claude-sonnet-5"), able, (WireName.ANTHROPIC,))
    rules = preflight_rules.bundled()

    began = time.process_time()
    for row in rows:
        json.loads(row)
    reference_s = time.process_time() - began
    began = time.process_time()
    report = preflight(requests.read(rows, requests.Reading()), candidate, rules)
    judged_s = time.process_time() - began

    size_mb = sum(map(len, rows)) / 1e6
    print(f"{report.requests:,} requests, {size_mb:,.0f} MB, {len(rules)} rules")
    print(f"  reference (json.loads)  {reference_s:6.2f} s CPU")
    print(f"  midshift preflight      {judged_s:6.2f} s CPU")
    print(f"  ratio {judged_s / reference_s:.2f}; {report.requests / judged_s:,.0f} requests/s")


if __name__ == "__main__":
    main()
