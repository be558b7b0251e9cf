"""Fifteen recorded model changes, compared with figures that were computed without midshift.

The figures (ground_truth.json, and ground_truth.md as printed) lie beside the recorded outputs; none of it may be
copied into this repository. Means must agree to nine decimals and to every printed digit.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midshift.cli.compare import Options, compare
from midshift.domain.gate import Decision
from midshift.domain.suite import AGGREGATE, Score
from midshift.domain.verdict import Outcome, Verdict
from midshift.evals import paired_outputs
from midshift.evals.rows import Ledger
from midshift.evals.whole_json import is_json
from midshift.reports import words
from midshift.reports.comparison import Comparison, Row
from midshift.shadow.drift import Finding
from midshift.testing import ManualClock
from tests.builders import tabled, verdict

PAIRS = [f"D{number}" for number in range(1, 16)]
RANGES = {"judge_1_10": "judge_1_10:1..10"}
CHANGED = "prompt_changed_between_runs"
SHARES = ("code_fence", "empty", "refusal_like", "preamble", "closing_offer")
LENGTHS = ("chars", "words", "median_chars")
LATENCIES = {
    "mean": "latency_s_mean",
    "p50": "latency_s_p50",
    "p95": "latency_s_p95",
    "p99": "latency_s_p99",
}


class Recorded:
    """The pairs, what is known of them, and their comparisons, each made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = json.loads((folder / "pairs.json").read_text(encoding="utf-8"))["pairs"]
        known = json.loads((folder / "ground_truth.json").read_text(encoding="utf-8"))
        self.pair: dict[str, dict[str, Any]] = {pair["name"].split()[0]: pair for pair in listed}
        self.truth: dict[str, dict[str, Any]] = {name.split()[0]: found for name, found in known.items()}
        self.compared = cache(self._compared)

    def _compared(self, name: str, **options: Any) -> Comparison:
        pair = self.pair[name]
        scores = tuple(RANGES.get(score, score) for score in pair["scores"])
        skip = CHANGED if pair.get("exclude_changed_prompts") else None
        path = self.folder / pair["file"]
        return compare(Options(path, pair["old"], pair["new"], scores, skip=skip, **options), ManualClock())

    def printed(self, name: str) -> dict[tuple[str, str], list[str]]:
        """The cells of the printed tables of scores, by score and slice."""
        text = (self.folder / "ground_truth.md").read_text(encoding="utf-8")
        section = text.split(f"### {name} ")[1].split("\n### ")[0]
        tables = re.findall(r"^score `(\w+)`.*?\n\n((?:\|.*\n)+)", section, re.MULTILINE)
        return {
            (score, cells[0]): cells[1:]
            for score, table in tables
            for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:])
        }


@pytest.fixture(scope="session")
def recorded(data_dir: Path) -> Recorded:
    """The recorded pairs."""
    return Recorded(data_dir)


def slice_of(name: str) -> str:
    """The ground truth calls all cases `all`."""
    return AGGREGATE if name == "all" else name


def findings(comparison: Comparison) -> dict[tuple[str, str], Finding]:
    """The drift by metric and slice."""
    return {(finding.metric, finding.slice): finding for finding in comparison.findings}


def verdicts(comparison: Comparison) -> list[tuple[str, str, Verdict]]:
    """Every verdict with its score and slice."""
    return [
        (score.score.name, name, found)
        for score in comparison.scores
        for name, found in [(AGGREGATE, score.aggregate), *((part.slice.name, part.verdict) for part in score.slices)]
    ]


@pytest.mark.parametrize("name", PAIRS)
def test_every_mean_of_every_score_and_slice_is_the_known_one(name: str, recorded: Recorded) -> None:
    """A verdict on wrong means is wrong, however good its interval."""
    comparison = recorded.compared(name)

    known = {
        (score, slice_of(part)): (truth["n"], truth["old"], truth["new"])
        for score, parts in recorded.truth[name]["scores"].items()
        for part, truth in parts.items()
        if truth and not part.startswith(" ")
    }
    found = {}
    for score, part, one in verdicts(comparison):
        scale = next(item.score.range for item in comparison.scores if item.score.name == score)
        if one.evidence is not None and (score, part) in known:
            sides = (scale.low + side * scale.width for side in (one.evidence.incumbent, one.evidence.candidate))
            found[score, part] = (one.evidence.interval.n, *sides)
    assert set(known) == set(found)
    for place, expected in known.items():
        assert pytest.approx(expected, abs=1e-9) == found[place]


@pytest.mark.parametrize("name", PAIRS)
def test_every_mean_is_shown_with_the_digits_that_are_printed(name: str, recorded: Recorded) -> None:
    """What a person reads in the report is what a person reads in the table."""
    comparison, printed = recorded.compared(name), recorded.printed(name)
    ranges = {score.score.name: score.score for score in comparison.scores}

    assert {(score, slice_of(part)) for score, part in printed} == {
        (score, part) for score, part, one in verdicts(comparison) if score != "answered" and one.evidence is not None
    }
    for (score, part), (n, old, new, delta, *_) in printed.items():
        one = verdict(comparison.scores, score, slice_of(part))
        assert one.evidence is not None
        row = Row(ranges[score], part, one)
        shown = [words.score_value(row, side) for side in (one.evidence.incumbent, one.evidence.candidate)]
        moved = words.score_change(one.evidence.d, ranges[score].range)
        assert [n, old, new] == [str(one.evidence.interval.n), *shown]
        assert as_shown(delta) == moved


def as_shown(printed: str) -> str:
    """A printed difference with our minus, and no sign on nothing."""
    return printed.lstrip("+-") if float(printed) == 0.0 else printed.replace("-", words.MINUS)


@pytest.mark.parametrize("name", PAIRS)
def test_as_many_pairs_got_better_and_worse_as_is_known(name: str, recorded: Recorded) -> None:
    """The counts behind McNemar's test, pair by pair: a mean can be right by accident, these cannot."""
    pair = recorded.pair[name]
    skip = CHANGED if pair.get("exclude_changed_prompts") else None
    request = paired_outputs.Request(pair["old"], pair["new"], skip=skip)
    with (recorded.folder / pair["file"]).open("rb") as file:
        table, cases = tabled(paired_outputs.read(paired_outputs.lines(file), request, Ledger()))
    masks = {AGGREGATE: np.ones(cases.rows.size, bool), **dict(cases.slices())}

    for score, parts in recorded.truth[name]["scores"].items():
        old, new = (side[cases.rows] for side in table.scores[score].arrays())
        for part, truth in parts.items():
            if truth and not part.startswith(" "):
                mask = masks[slice_of(part)]
                assert (truth["better"], truth["worse"]) == (int((new > old)[mask].sum()), int((new < old)[mask].sum()))


@pytest.mark.parametrize("name", PAIRS)
def test_every_length_and_habit_in_every_slice_is_the_known_one(name: str, recorded: Recorded) -> None:
    """Nine features, measured by other code: one regular expression that differs would show."""
    drift = findings(recorded.compared(name))

    for part, shape in recorded.truth[name]["shape"].items():
        for metric in (*LENGTHS, *SHARES):
            unit = 100.0 if metric in SHARES else 1.0
            found = drift.get((metric, slice_of(part)))
            sides = (0.0, 0.0) if found is None else (unit * found.incumbent, unit * found.candidate)
            assert found is not None or metric in SHARES
            assert pytest.approx(tuple(shape[metric][:2]), abs=1e-9) == sides, (metric, part)


@pytest.mark.parametrize("name", PAIRS)
def test_every_latency_token_count_and_cost_is_the_known_one(name: str, recorded: Recorded) -> None:
    """Nearest-rank quantiles and means over the pairs that were measured; and none where nothing was."""
    drift, truth = findings(recorded.compared(name)), recorded.truth[name]

    for source, statistics in (
        ("latency_s", LATENCIES),
        *((number, {"mean": number}) for number in ("tokens_in", "tokens_out", "cost_usd")),
    ):
        for statistic, metric in statistics.items():
            found = drift.get((metric, AGGREGATE))
            assert (source in truth) == (found is not None)
            if found is not None:
                old, new = (truth[source][side] for side in ("old", "new"))
                assert (old["n"], new["n"]) == (found.interval.n, found.interval.n)
                assert pytest.approx((old[statistic], new[statistic]), abs=1e-9) == (found.incumbent, found.candidate)


@pytest.mark.parametrize("name", ["D7", "D8", "D9", "D10"])
def test_whole_output_json_agrees_with_the_files_own_strict_check_answer_by_answer(
    name: str, recorded: Recorded
) -> None:
    """The file's check is another implementation of the same rule; each disagreement would be named by its id."""
    pair = recorded.pair[name]
    disagreements, checked = [], 0
    for line in (recorded.folder / pair["file"]).read_bytes().splitlines():
        row = json.loads(line)
        for variant in (pair["old"], pair["new"]):
            output = row["outputs"][variant]
            checked += 1
            if float(is_json(output["text"] or "")) != output["scores"]["json_strict"]:
                disagreements.append((row["id"], variant))

    assert [] == disagreements
    assert checked in (660, 800)


@pytest.mark.parametrize("name", PAIRS)
def test_no_recorded_row_is_left_out_except_as_asked(name: str, recorded: Recorded) -> None:
    """The files are in the format: any complaint is a fault of the reader."""
    ledger = recorded.compared(name).ledger

    assert ({"skipped": 26} if name == "D12" else {}) == ledger.excluded
    assert ({"candidate_empty_answer": 9} if name == "D14" else {}) == ledger.noted


@pytest.mark.parametrize("name", ["D12", "D15"])
def test_a_model_compared_with_itself_fails_nowhere(name: str, recorded: Recorded) -> None:
    """Two runs of one snapshot: a gate on point estimates stops here, with five slices down."""
    comparison = recorded.compared(name)

    assert [] == [item[:2] for item in verdicts(comparison) if item[2].outcome is Outcome.FAIL]
    assert comparison.ruling.decision not in (Decision.RETUNE, Decision.STOP)


def test_drift_between_two_runs_of_one_model_is_that_of_its_provider_alone(recorded: Recorded) -> None:
    """D15 is the same week; between the runs of D12 the provider got faster and counted tokens differently."""
    flagged = {name: {finding.metric for finding in recorded.compared(name).flagged} for name in ("D12", "D15")}

    assert set() == flagged["D15"]
    assert set() == flagged["D12"] - {*LATENCIES.values(), "tokens_in"}


def test_an_interface_change_that_breaks_one_language_fails_there(recorded: Recorded) -> None:
    """D13: native tool calls instead of prompted ones; javascript falls from 76 to 40 %."""
    comparison = recorded.compared("D13")

    assert Outcome.FAIL is verdict(comparison.scores, "valid", "javascript").outcome
    assert (Decision.RETUNE, (("valid", "javascript"),)) == (comparison.ruling.decision, comparison.ruling.regressed)


def test_a_prompt_that_costs_quality_is_sent_back_to_be_tuned(recorded: Recorded) -> None:
    """D2: "as concise as possible" costs 2.6 points of win rate and half of the length."""
    comparison = recorded.compared("D2")

    assert Decision.RETUNE is comparison.ruling.decision
    assert {"chars", "words", "median_chars"} <= {
        finding.metric for finding in comparison.flagged if finding.slice == AGGREGATE
    }


def test_twenty_cases_are_too_few_and_the_report_says_how_many_are_missing(recorded: Recorded) -> None:
    """D15: five of twenty tasks flip between two runs of one model."""
    ruling = recorded.compared("D15").ruling

    assert Decision.COLLECT_MORE is ruling.decision
    assert re.search(r"^reward: can rule out drops over [\d.]+ points; [\d,]+ more cases for 2", ruling.reason)


@pytest.mark.parametrize(("expect", "contract"), [(None, "json_strict"), ("json", "json_valid")])
def test_better_answers_in_a_broken_form_fail_the_form(expect: str | None, contract: str, recorded: Recorded) -> None:
    """D7: +16 points of accuracy, and prose before the JSON in 400 of 400 answers; lenient extraction says 100 %."""
    options = {} if expect is None else {"expect": expect}
    comparison = recorded.compared("D7", **options)

    assert Outcome.SUPERIOR is verdict(comparison.scores, "accuracy").outcome
    assert Outcome.FAIL is verdict(comparison.scores, contract).outcome
    assert Decision.RETUNE is comparison.ruling.decision
    found = verdict(comparison.scores, contract).evidence
    assert found is not None
    assert pytest.approx((0.51, 0.0)) == (found.incumbent, found.candidate)


@pytest.mark.parametrize(
    ("name", "options", "missing", "n"), [("D8", {"error_text": "^API Error"}, 6, 400), ("D14", {}, 9, 530)]
)
def test_answers_that_are_missing_are_a_drop_of_what_was_answered(
    name: str, options: dict[str, str], missing: int, n: int, recorded: Recorded
) -> None:
    """D8: blocked by the provider, stored as text. D14: empty. Both are new failure modes behind better scores."""
    comparison = recorded.compared(name, **options)

    found = verdict(comparison.scores, "answered")
    assert found.evidence is not None
    assert (n, 1.0) == (found.evidence.interval.n, found.evidence.incumbent)
    assert pytest.approx(1 - missing / n) == found.evidence.candidate
    assert Outcome.FAIL is found.outcome
    assert Decision.RETUNE is comparison.ruling.decision


@pytest.mark.parametrize("name", ["D3", "D7", "D8", "D10", "D11"])
def test_a_proven_improvement_of_the_main_score_is_seen(name: str, recorded: Recorded) -> None:
    """A gate that can only say no is switched off."""
    score: Score = recorded.compared(name).scores[0].score

    assert Outcome.SUPERIOR is verdict(recorded.compared(name).scores, score.name).outcome


@pytest.mark.parametrize("name", ["D1", "D4", "D5", "D6", "D9", "D14"])
def test_a_difference_inside_the_noise_is_neither_a_gain_nor_a_loss(name: str, recorded: Recorded) -> None:
    """Nothing is proven of the main score of these, in either direction."""
    comparison = recorded.compared(name)
    main = comparison.scores[0]

    outcomes = {found.outcome for score, _, found in verdicts(comparison) if score == main.score.name}
    assert main.aggregate.outcome in (Outcome.PASS, Outcome.INCONCLUSIVE)
    assert Outcome.FAIL not in outcomes
