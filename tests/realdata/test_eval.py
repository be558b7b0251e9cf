"""Every recorded pair as two providers over HTTP: the eval must find what `compare` finds in the recording itself.

The suite is made of the recording without its outputs; the recorded scores are the grader. Calls are counted by the
provider: one for each case and side, and none when it is run again.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from midshift.cli import compare
from midshift.cli.buying import Shop, Terms, buy, write_pairs
from midshift.domain.variant import Variant
from midshift.evals.grading import Grading
from midshift.evals.pairing import Plan
from midshift.evals.requests import Line
from midshift.evals.rows import Answer, Side
from midshift.evals.suite_file import EvalCase
from midshift.providers.http.pool import Pool
from midshift.providers.http.settings import Upstream
from midshift.providers.paid.till import Till
from midshift.providers.prices.book import PriceBook
from midshift.reports.comparison import document
from midshift.store.ledger import Ledger
from midshift.testing import ManualClock, provider_server
from midshift.testing.replay import Recording, ReplayProvider

PAIRS = [f"D{number}" for number in range(1, 16)]
RANGES = {"judge_1_10": "judge_1_10:1..10"}
CHANGED = "prompt_changed_between_runs"


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_an_eval_over_http_finds_what_compare_finds_in_the_recording(name: str, data_dir: Path, tmp_path: Path) -> None:
    """Verdicts, decision and reasons alike; each case asked once of each side, and never again."""
    listed = json.loads((data_dir / "pairs.json").read_text(encoding="utf-8"))["pairs"]
    pair = next(item for item in listed if item["name"].split()[0] == name)
    rows = _rows(data_dir / pair["file"], pair)
    recorded, again = tmp_path / "recorded.jsonl", tmp_path / "again.jsonl"
    recorded.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    calls = asyncio.run(_evaluated(recorded, rows, pair, again))

    assert 2 * len(rows) == calls.total
    assert {1} == set(calls.by_case.values())
    assert _judged(recorded, pair) == _judged(again, pair)


def _rows(file: Path, pair: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a recording that have both outputs, with the scores that gate and no others."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    if pair.get("exclude_changed_prompts"):
        rows = [row for row in rows if not row.get(CHANGED)]
    return [row for row in rows if {pair["old"], pair["new"]} <= row["outputs"].keys()]


async def _evaluated(
    recorded: Path, rows: list[dict[str, Any]], pair: Mapping[str, Any], out: Path
) -> provider_server.Calls:
    names = pair["old"], pair["new"]
    calls, clock = provider_server.Calls(), ManualClock()
    provider = ReplayProvider(Recording.open(recorded))
    async with provider_server.serve(provider, calls=calls, latency_scale=0.0) as url:
        upstream = Upstream(url)
        pool = Pool(upstream)
        lines = tuple(Line.of(Variant("replay", name), upstream, name, is_labelled=True) for name in names)
        plan = Plan([_case(row, number) for number, row in enumerate(rows, start=1)], 1, lines)
        grading = Grading(_recorded_scores(rows, names))
        with Ledger() as ledger:
            shop = Shop(ledger, {"replay": pool}, Till(PriceBook(()), clock.now()), clock)
            await buy(plan, grading, shop, Terms())
            await buy(plan, grading, shop, Terms())
            write_pairs(plan, lines[1], ledger, grading, out, names)
        pool.close()
    return calls


def _case(row: Mapping[str, Any], number: int) -> EvalCase:
    found = row["slice"]
    slices = tuple(found) if isinstance(found, list) else (found,)
    return EvalCase(number, str(row["id"]), tuple(row["messages"]), slices, tools=tuple(row.get("tools") or ()))


def _recorded_scores(rows: list[dict[str, Any]], names: tuple[str, str]) -> Any:
    by_id = {str(row["id"]): row["outputs"] for row in rows}

    def grade(case: EvalCase, answer: Answer, side: Side) -> Mapping[str, float]:
        found = by_id[case.id][names[side is Side.CANDIDATE]]["scores"]
        return {name: float(value) for name, value in found.items() if value is not None}

    return grade


def _judged(file: Path, pair: Mapping[str, Any]) -> dict[str, Any]:
    """What `compare` says of a file, without the drift: latency and tokens are the replaying provider's own."""
    scores = tuple(RANGES.get(score, score) for score in pair["scores"])
    options = compare.Options(file, pair["old"], pair["new"], scores)
    found = document(compare.compare(options, ManualClock()))
    return {name: found[name] for name in ("decision", "reason", "regressed", "unproven", "slices", "scores")}
