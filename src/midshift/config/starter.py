"""What `midshift init` writes: a small, commented set of files that loads and checks without a remark in red.

The models are simulated ones, so that everything works before there is a key; the names are the caller's to fill in.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from midshift.config.definitions import MAIN


@dataclass(frozen=True, slots=True)
class Answers:
    """What the files are about; every value has to be one that the files may hold."""

    workload: str = "support-reply"
    provider: str = "sim"
    incumbent: str = "sonnet-3.7"
    candidate: str = "sonnet-4.6"


def files(answers: Answers = Answers()) -> dict[str, str]:
    """The texts of the starter's files, by name. Made-up prices are among them for the simulated models alone.

    The values of `answers` go in as they are; `parse` says what is wrong with one that does not fit.
    """
    incumbent, candidate = _slug(answers.incumbent), _slug(answers.candidate)
    values = {
        "WORKLOAD": answers.workload,
        "PROVIDER": answers.provider,
        "INCUMBENT_MODEL": answers.incumbent,
        "CANDIDATE_MODEL": answers.candidate,
        "INCUMBENT_FILE": incumbent,
        "CANDIDATE_FILE": candidate if candidate != incumbent else f"{candidate}-new",
    }
    texts = {
        MAIN: _MAIN,
        "variants/INCUMBENT_FILE.yaml": _INCUMBENT,
        "variants/CANDIDATE_FILE.yaml": _CANDIDATE,
        "prompts/WORKLOAD.v2.md": _PROMPT,
        "suites/WORKLOAD.jsonl": _suite(),
        "docs/oncall.md": _RUNBOOK,
    } | ({"prices.yaml": _PRICES} if answers.provider == Answers().provider else {})
    return {_filled(name, values): _filled(text, values) for name, text in texts.items()}


def _slug(model: str) -> str:
    return re.sub(r"[^a-z0-9.-]+", "-", model.lower()).strip("-.") or "model"


def _filled(text: str, values: dict[str, str]) -> str:
    return re.sub("|".join(values), lambda found: values[found[0]], text)


def _suite() -> str:
    cases = [
        (
            "t-1",
            "escalations",
            "This is the third time I ask. I want to speak to a manager.",
            "apologises, names a person",
        ),
        ("t-2", "escalations", "Your driver broke my door. What now?", "apologises, says how to claim"),
        ("t-3", "german", "Wo bleibt mein Paket? Bestellung 1234.", "answers in German, asks for nothing it was told"),
        ("t-4", "german", "Kann ich die Adresse noch aendern?", "answers in German, says until when"),
        ("t-5", "everyday", "How long does delivery take?", "two to four working days"),
        ("t-6", "everyday", "Do you ship to Norway?", "yes, with customs to pay"),
    ]
    rows = (
        {
            "id": name,
            "slice": part,
            "messages": [{"role": "user", "content": asked}],
            "params": {"max_tokens": 400},
            "reference": expected,
            "graders": [{"type": "regex", "name": "says_when", "pattern": _WHEN}],
        }
        for name, part, asked, expected in cases
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


_WHEN = r"(?i)\b(\d+|one|two|three|four|five|today|tomorrow|heute|morgen|zwei|drei|vier|Tagen?)\b"
"""What the starter's suite asks of an answer: some word of when. A suite of one's own asks for more."""

_MAIN = """\
# What midshift needs to know. `midshift check` says what is wrong or odd; `midshift apply --env local` records it.
version: 1

workloads:
  WORKLOAD:
    # The model ids that your app sends today: it keeps sending them, and only its base URL changes.
    claims: [INCUMBENT_MODEL]

    # What keeps the same variant throughout an upgrade; the first that a request has.
    unit: [header:x-user-id, conversation]

    cycle: weekly   # daily | weekly: what a hold has to cover
    stakes: normal  # low | normal | high: 1, 2 or 4 weeks in shadow

    # The parts that are judged on their own. An average can get better while the part that matters gets worse.
    slices:
      escalations: {when: {header: x-queue, equals: escalation}}
      german: {when: {language: de}, role: watch}  # shown, and nothing waits for it
      everyday: {when: {header: x-queue, equals: everyday}}

    # What serves today. It changes through `midshift upgrade start WORKLOAD --to FILE`, never by hand here.
    incumbent: variants/INCUMBENT_FILE.yaml

    suite: suites/WORKLOAD.jsonl

    upgrade:
      steps: [1%, 5%, 25%, 100%]
      holds: [2d, 4d, 7d]  # one for each step but the last
      margin: 2pt          # how much worse still counts as not worse: hundredths of a score's range
      # approvals: {25%: [{role: legal, slice: escalations}]}

    # budgets: {p99_latency_ms: 9000, cost_per_call_usd: 0.012}

    data:
      vendors: [PROVIDER]
      # capture: {texts: 5%, keep: 14d, redact: [email]}  # without it no text is kept

    runbook: docs/oncall.md

# Known vendors need no entry: `provider: anthropic` in a variant file, and the key in ANTHROPIC_API_KEY.
# providers:
#   my-host: {vendor: openai_compatible, base_url: "https://HOST/v1", key: env:MY_HOST_KEY, region: eu}

environments:
  local:
    store: env:MIDSHIFT_DB  # the name of a variable, never the address itself
    gateways: ["http://127.0.0.1:8080"]
"""

_INCUMBENT = """\
# What serves today: the app's own prompt, its own parameters.
provider: PROVIDER
model: INCUMBENT_MODEL  # a snapshot, not a name that moves
prompt: {mode: keep}
"""

_CANDIDATE = """\
# What may serve next. A variant that was applied is never edited: a change is a new file.
provider: PROVIDER
model: CANDIDATE_MODEL
effort: low
prompt: {mode: replace, file: ../prompts/WORKLOAD.v2.md}
params:
  drop: [temperature]     # fields of the request that this model does not take
  set: {max_tokens: 400}  # some vendors want a limit; it also bounds what a call can cost, for `eval --max-usd`
"""

_PROMPT = """\
You write replies to the customers of a shop.

- Answer in the language of the question, in at most five sentences.
- Say what happens next, and when.
- Close with one friendly line.
"""

_PRICES = """\
# Prices of your own; they win over the published ones. These are of made-up models: remove them with those.
format: midshift.prices/1
prices:
  - provider: PROVIDER
    model: INCUMBENT_MODEL
    per_million_tokens: {input: 3, output: 15}
    source: made up
    date: 2026-01-01
  - provider: PROVIDER
    model: CANDIDATE_MODEL
    per_million_tokens: {input: 2, output: 10}
    source: made up
    date: 2026-01-01
"""

_RUNBOOK = """\
# On call

## WORKLOAD answers badly

1. `midshift rollback WORKLOAD` puts the incumbent back everywhere, at once. No deploy, nobody to ask.
2. `midshift status WORKLOAD` shows what each gateway serves.
3. `midshift sync WORKLOAD` writes it into the repository, later.

Without the control plane: `MIDSHIFT_FORCE=incumbent` on the gateway does the same.
"""
