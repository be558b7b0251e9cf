"""`midshift eval` over HTTP: a bake-off, an effort sweep, its files, and everything that it refuses before it pays."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Waiting
from threading import Thread
from typing import Any

import pytest

from midshift.cli import compare, eval_options
from midshift.cli import eval as command
from midshift.cli.main import run
from midshift.cli.project import Target
from midshift.cli.state_folder import StateFolder
from midshift.domain.gate import Decision
from midshift.domain.upgrade import Upgrade, begin
from midshift.errors import MidshiftError, UsageError
from midshift.providers.paid.buyer import TurnedAway
from midshift.providers.prices import pinned
from midshift.reports.comparison import document
from midshift.testing import ManualClock, provider_server
from midshift.testing.replay import ChatRequest, Completion, Failure, Reply, Usage
from tests.cli.test_defining import NEW_FILE, WORKLOAD, a_product, edit

CASES = 60
PRICES = """\
format: midshift.prices/1
prices:
  - {provider: sim, model: sonnet-3.7, source: test, date: 2026-01-01, per_million_tokens: {input: 3, output: 15}}
  - {provider: sim, model: sonnet-4.6, source: test, date: 2026-01-01, per_million_tokens: {input: 1, output: 5}}
"""
DEAR_TOKENS = {"low": 50, "medium": 100, "high": 400}


class Efforts:
    """A provider whose candidate is right at medium effort and above; each effort has its price in tokens."""

    models = ("sonnet-3.7", "sonnet-4.6", "judge")

    def __init__(self, latency_s: float = 0.0) -> None:
        self._latency_s = latency_s

    def answer(self, request: ChatRequest) -> Reply:
        """See `ChatProvider`."""
        if request.model == "judge":
            is_yes = "yes" in str(request.messages[-1]["content"])
            return Completion(f"VERDICT: {5 if is_yes else 2}", usage=Usage(50, 5))
        if request.model not in self.models:
            return Failure(404, "no such model")
        is_right = request.model == "sonnet-3.7" or request.effort in ("medium", "high")
        tokens = DEAR_TOKENS.get(request.effort or "", 100)
        return Completion("yes" if is_right else "no", usage=Usage(10, tokens, tokens // 2), latency_s=self._latency_s)


@pytest.fixture(scope="module")
def provider() -> Iterator[tuple[str, provider_server.Calls]]:
    """The provider on a loop of its own thread, and what reached it."""
    with _serving() as found:
        yield found


class Watched(provider_server.Calls):
    """Calls, and an event for the tenth of them."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = Waiting()

    def count(self, request: ChatRequest, reply: Reply) -> None:
        """See `Calls`."""
        super().count(request, reply)
        if self.total == 10:
            self.reached.set()


@contextmanager
def _serving(latency_s: float = 0.0) -> Iterator[tuple[str, Watched]]:
    calls, ready, over, found = Watched(), Waiting(), Waiting(), list[str]()

    async def serve() -> None:
        async with provider_server.serve(Efforts(latency_s), calls=calls) as url:
            found.append(url)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    yield found[0], calls
    over.set()
    thread.join()


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """The starter's files with a suite that says what is right, and prices."""
    made = a_product(tmp_path)
    rows = (
        {
            "id": f"t-{number}",
            "slice": ("escalations", "everyday", "german")[number % 3],
            "messages": [{"role": "user", "content": f"Is {number} even or odd?"}],
            "reference": "yes",
            "graders": [{"type": "contains", "name": "right"}],
        }
        for number in range(CASES)
    )
    (made / "suites" / f"{WORKLOAD}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (made / "prices.yaml").write_text(PRICES)
    edit(made / "midshift.yaml", "margin: 2pt ", "margin: 20pt")  # sixty cases can prove no less
    return made


def options(product: Path, **said: Any) -> eval_options.Options:
    """The command line."""
    state = product / said.pop("state_name", "state")
    return eval_options.Options(state, **{"to": (NEW_FILE,), **said})


def evaluated(product: Path, url: str, **said: Any) -> int:
    """The exit code of an eval."""
    environment = {"MIDSHIFT_PROVIDER_SIM_URL": url}
    return command.run(Target(product), WORKLOAD, options(product, **said), environment)


def found(product: Path, url: str, capsys: pytest.CaptureFixture[str], **said: Any) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of an eval."""
    capsys.readouterr()
    code = evaluated(product, url, as_json=True, **said)
    return code, json.loads(capsys.readouterr().out)


def test_a_cheaper_and_worse_candidate_is_called_a_regression(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """In those words, and with the exit code of a failed gate."""
    assert 1 == evaluated(product, provider[0])

    out = " ".join(capsys.readouterr().out.split())
    assert "G7 sonnet-4.6: cost down and quality down: a regression" in out
    assert "is no finding before its prompt was tuned. Type next: midshift retune" in out


def test_an_effort_sweep_finds_the_cheapest_that_clears_every_gate(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Low is cheaper and wrong, high is right and dear: medium it is; and what it costs is a call's, not a token's."""
    code, said = found(product, provider[0], capsys, sweep=("low", "medium", "high"))

    candidates = {one["name"]: one for one in said["candidates"]}
    assert (0, "sonnet-4.6@medium") == (code, said["cheapest_clear"])
    assert ["retune", "proceed", "proceed"] == [one["decision"] for one in candidates.values()]
    costs = [one["cost_usd_per_call"] for one in candidates.values()]
    assert pytest.approx([260e-6, 510e-6, 2010e-6]) == costs
    assert [["G7"], [], []] == [[guard["code"] for guard in one["guards"]] for one in candidates.values()]
    assert {True} == {one["latency_p99_s"] > 0.0 for one in candidates.values()}


def test_each_call_is_made_once_however_often_it_is_evaluated(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Three candidates and an incumbent are four calls a case; the second time there are none."""
    before = provider[1].total
    first = found(product, provider[0], capsys, sweep=("low", "medium", "high"))[1]
    after = provider[1].total
    second = found(product, provider[0], capsys, sweep=("low", "medium", "high"))[1]

    assert (4 * CASES, 4 * CASES, 0) == (after - before, first["bought"], second["bought"])
    assert after == provider[1].total
    assert pytest.approx(second["spent_usd"]) == first["spent_usd"]


def test_the_pairs_are_judged_alike_by_compare(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever gets the file sees what was judged."""
    said = found(product, provider[0], capsys)[1]
    (candidate,) = said["candidates"]

    asked = compare.Options(Path(candidate["pairs"]), "sonnet-3.7", "sonnet-4.6", margin="20pt", watch=("german",))
    again = document(compare.compare(asked, ManualClock()))

    assert candidate["comparison"]["slices"] == again["slices"]
    assert candidate["comparison"]["decision"] == again["decision"]


def test_the_calls_can_be_priced_again(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Under the prices that were pinned they come to what was recorded."""
    said = found(product, provider[0], capsys)[1]
    calls = pinned.read_calls(Path(said["files"]["calls"]).read_bytes(), "calls")

    recomputed = pinned.recompute(calls, calls.prices)

    assert 2 * CASES == len(recomputed.costs_usd)
    assert recomputed.total_usd is not None
    assert pytest.approx(said["spent_usd"]) == float(recomputed.total_usd)


def test_why_it_costs_less_is_split_without_a_rest(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """A third of the price and half of the tokens: each has its share, and they add up."""
    (candidate,) = found(product, provider[0], capsys)[1]["candidates"]

    split = candidate["cost_split"]
    assert pytest.approx(split["candidate_usd"] - split["incumbent_usd"]) == sum(split["effects_usd"].values())
    assert split["effects_usd"]["price"] < 0.0


def test_why_it_costs_less_tells_the_tokenizer_from_the_text(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are asked alike but for the prompt, and answer in two letters or three, in 50 tokens or 25 that are seen."""
    (candidate,) = found(product, provider[0], capsys)[1]["candidates"]

    split = candidate["cost_split"]
    effects, answered, asked = split["effects_usd"], split["of_visible_usd"], split["of_input_usd"]
    assert pytest.approx(effects["visible"]) == answered["tokenizer"] + answered["text"]
    assert pytest.approx(effects["input"], abs=1e-12) == asked["tokenizer"] + asked["text"]
    assert answered["text"] < 0.0
    assert asked["text"] > 0.0 > asked["tokenizer"], "ten tokens for a prompt of its own as well"


def test_a_streamed_eval_times_first_tokens_and_costs_the_same(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same wires, usage and prices; the frontier has both latencies."""
    whole = found(product, provider[0], capsys, limit=10)[1]["candidates"][0]
    _, said = found(product, provider[0], capsys, limit=10, stream=True, state_name="streamed")
    candidate = said["candidates"][0]

    assert (0, None) == (whole["first_token_calls"], whole["first_token_p50_s"])
    assert 10 == candidate["first_token_calls"]
    assert 0.0 < candidate["first_token_p50_s"] <= candidate["latency_p50_s"] <= candidate["latency_p90_s"]
    assert pytest.approx(whole["cost_usd_per_call"]) == candidate["cost_usd_per_call"]
    assert whole["quality"] == candidate["quality"]


def test_a_stream_buys_nothing_that_the_ledger_has(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """What was bought whole keeps its answer, and has no first token."""
    found(product, provider[0], capsys, limit=5)
    _, said = found(product, provider[0], capsys, limit=10, stream=True)

    assert (10, 5) == (said["bought"], said["candidates"][0]["first_token_calls"])


def test_a_run_can_be_followed_by_a_program(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """From what it will ask to where the document is; the exit code is the command's."""
    log = product / "events.jsonl"
    code, document = found(product, provider[0], capsys, events=str(log))

    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert ("started", "finished") == (events[0]["event"], events[-1]["event"])
    assert {"progress"} == {one["event"] for one in events[1:-1]}
    assert (2 * CASES, 2 * CASES) == (events[-2]["done"], events[-2]["total"])
    assert pytest.approx(document["spent_usd"]) == events[-2]["spent_usd"]
    assert code == events[-1]["exit_code"]
    assert document == json.loads(Path(events[-1]["files"]["comparison"]).read_text())


def test_a_function_that_was_changed_grades_again_and_buys_nothing(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """And what the controller reads says which version of it graded."""
    edit(product / "midshift.yaml", "version: 1\n", "version: 1\ngraders: ['own_graders:right']\n")
    edit(product / "midshift.yaml", f"suites/{WORKLOAD}.jsonl", "suites/own.yaml")
    (product / "suites" / "own.yaml").write_text(
        f"graders: [{{type: python, import: 'own_graders:right', name: own}}]\ncases: {WORKLOAD}.jsonl\n"
    )
    versions, evidence = [], []
    for number in (0.0, 1.0):
        (product / "own_graders.py").write_text(f"def right(case, answer):\n    return {number}\n")
        _, said = found(product, provider[0], capsys)
        (row,) = (
            row for row in said["candidates"][0]["comparison"]["slices"] if (row["score"], row["slice"]) == ("own", "*")
        )
        assert number == row["candidate"]
        versions.append(said["python_graders"]["own_graders:right"])
        kept = StateFolder(product / "state", ManualClock()).eval_of(_upgrade(product, said["candidates"][0]["id"]))
        evidence.append(None if kept is None else kept.graded_by)

    assert 0 == said["bought"]
    assert versions[0] != versions[1]
    assert [(f"own_graders:right@{version}",) for version in versions] == evidence


def test_a_model_that_is_not_there_ends_the_eval_and_says_what_to_mend(
    product: Path, provider: tuple[str, provider_server.Calls]
) -> None:
    """As the final answer of every case it would be unanswered for ever, and a reason to collect more cases."""
    (product / "variants" / "typo.yaml").write_text("provider: sim\nmodel: sonnet-46\n")

    with pytest.raises(TurnedAway, match=r"'sim' does not serve 'sonnet-46' \(status 404.*another `model`"):
        evaluated(product, provider[0], to=("variants/typo.yaml",))


def test_what_comes_next_is_an_upgrade_for_files_and_its_status_for_an_upgrade(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two commands evaluate; each says which one it is by what it points to."""
    for is_upgrade, expected in ((False, f"midshift upgrade start {WORKLOAD} --to"), (True, "midshift upgrade status")):
        assert 0 == evaluated(product, provider[0], sweep=("medium",), is_upgrade=is_upgrade)
        assert f"Type next: {expected}" in capsys.readouterr().out


def test_an_eval_of_the_own_suite_is_what_the_controller_reads(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """And one of other cases, or of some of them, is not."""
    said = found(product, provider[0], capsys, limit=30)[1]
    (candidate,) = said["candidates"]
    upgrade = _upgrade(product, candidate["id"])
    sources = StateFolder(product / "state", ManualClock())
    assert None is sources.eval_of(upgrade)

    evaluated(product, provider[0])

    kept = sources.eval_of(upgrade)
    assert kept is not None
    assert Decision.RETUNE is kept.decision
    assert kept.reason.startswith(
        "simulated: a stand-in answered for sim; G7: cost down and quality down: a regression"
    )


def test_answers_of_a_stand_in_are_named_so_wherever_their_numbers_are(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """A forgotten address of this machine must not pass for the vendor whose name it takes."""
    (candidate,) = found(product, provider[0], capsys)[1]["candidates"]

    evaluated(product, provider[0])

    assert (True, ["sim"]) == (candidate["comparison"]["simulated"], candidate["comparison"]["stand_ins"])
    assert "SIMULATED: a stand-in answered for sim" in capsys.readouterr().out


def _upgrade(product: Path, candidate: str) -> Upgrade:
    definition = Target(product).definitions().workloads[WORKLOAD]
    incumbent = definition.workload.incumbent.id
    return begin("u-1", WORKLOAD, incumbent, candidate, definition.plan, ManualClock().now(), "salt")


def test_offline_it_judges_what_a_ledger_holds(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is asked, and nothing that is missing is made up."""
    first = found(product, provider[0], capsys)[1]
    before, ledger = provider[1].total, product / "state" / "evals" / "calls.sqlite"

    again = found(product, provider[0], capsys, offline_from=ledger)[1]

    assert before == provider[1].total
    assert first["candidates"][0]["comparison"]["slices"] == again["candidates"][0]["comparison"]["slices"]
    with pytest.raises(UsageError, match="the ledger has no answer of 'sonnet-4.6' to case 't-0'"):
        evaluated(product, provider[0], sweep=("high",), offline_from=ledger)


def test_the_cap_is_kept_and_the_rest_is_bought_later(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """What was paid under the cap is not paid again without it."""
    edit(product / NEW_FILE, "max_tokens: 400", "max_tokens: 500")
    with (product / "variants" / "sonnet-3.7.yaml").open("a") as incumbent:
        incumbent.write("\nparams: {set: {max_tokens: 500}}\n")
    before = provider[1].total

    with pytest.raises(MidshiftError, match=r"left of the cap of 0\.05 USD"):
        evaluated(product, provider[0], max_usd="0.05", concurrency=2)

    paid = provider[1].total - before
    assert 0 < paid < 2 * CASES
    assert 2 * CASES - paid == found(product, provider[0], capsys, max_usd="5")[1]["bought"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"to": ()}, "found no candidate beside the incumbent"),
        ({"max_usd": "a lot"}, "expected an amount of USD above 0"),
        ({"max_usd": "1"}, "cannot be bounded"),
        ({"grader": "vibes"}, "expected one of: exact, contains"),
        ({"rebuy_unknown": True, "skip_unknown": True}, "expected one of them"),
        ({"offline_from": Path("nowhere.sqlite")}, "found no such file"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_paid(
    said: Mapping[str, Any], expected: str, product: Path, provider: tuple[str, provider_server.Calls]
) -> None:
    """With what was found, and what to type."""
    before = provider[1].total

    with pytest.raises(UsageError, match=expected) as refused:
        evaluated(product, provider[0], **said)

    assert before == provider[1].total
    assert "Type next:" in str(refused.value)


def test_no_suite_no_eval(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """G1: with the way to one."""
    (product / "suites" / f"{WORKLOAD}.jsonl").unlink()

    assert 2 == run(["eval", WORKLOAD, "--to", NEW_FILE, "--config", str(product), "--state", str(product / "state")])

    assert "no suite, no upgrade" in capsys.readouterr().err


def test_a_suite_without_graders_buys_nothing(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers that nobody judges are money for nothing."""
    suite = product / "suites" / f"{WORKLOAD}.jsonl"
    suite.write_text(suite.read_text().replace('"graders": [{"type": "contains", "name": "right"}]', '"graders": []'))

    with pytest.raises(UsageError, match="found no graders"):
        evaluated(product, provider[0])


def test_the_data_goes_nowhere_that_it_may_not(product: Path, provider: tuple[str, provider_server.Calls]) -> None:
    """Checked before the first byte."""
    edit(product / NEW_FILE, "provider: sim", "provider: openai")
    before = provider[1].total

    with pytest.raises(MidshiftError, match="not among the vendors that may see the data"):
        evaluated(product, provider[0])

    assert before == provider[1].total


def test_the_judges_of_a_suite_are_asked_once_and_paid_like_answers(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers that are alike share a verdict; offline everything is there; and the bill has the judge in it."""
    (product / "variants" / "judge.yaml").write_text("provider: sim\nmodel: judge\n")
    suite = product / "suites" / "judged.yaml"
    suite.write_text(
        "graders: [{type: rubric, name: friendly, rubric: Says yes., judge: variants/judge.yaml}]\n"
        f"cases: {WORKLOAD}.jsonl\n"
    )
    prices = PRICES + PRICES.splitlines()[-1].replace("sonnet-4.6", "judge") + "\n"
    (product / "prices.yaml").write_text(prices)
    before = provider[1].by_model["judge"]

    said = found(product, provider[0], capsys, suite=suite, sweep=("low", "medium"))[1]
    asked = provider[1].by_model["judge"] - before
    offline = Path(said["files"]["ledger"])
    again = found(product, provider[0], capsys, suite=suite, sweep=("low", "medium"), offline_from=offline)[1]

    assert {"right", "friendly", "answered"} == {item["name"] for item in said["candidates"][0]["comparison"]["scores"]}
    assert 2 * CASES == asked  # "yes" and "no" to each case: who says the same is judged once
    assert before + asked == provider[1].by_model["judge"]
    assert [one["comparison"]["slices"] for one in said["candidates"]] == [
        one["comparison"]["slices"] for one in again["candidates"]
    ]
    assert pytest.approx(CASES * (1530e-6 + 260e-6 + 510e-6) + asked * 75e-6) == said["spent_usd"]


def test_buying_loads_no_numerics_and_no_database_layer() -> None:
    """An eval waits for hours: it should hold no more memory than it needs until there is something to judge."""
    program = (
        "import sys; from midshift.cli import eval, egress, serve, upstreams; from midshift.store import ledger; "
        "print(sorted({'numpy', 'scipy', 'sqlalchemy'} & set(sys.modules)))"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "[]" == run.stdout.strip()


@pytest.mark.slow
def test_an_interrupt_leaves_nothing_unknown(product: Path) -> None:
    """Ctrl-C once: what is paid for comes to its end, and the same command goes on from there."""
    with _serving(latency_s=0.1) as (url, calls):
        arguments = ("eval", WORKLOAD, "--to", NEW_FILE, "--concurrency", "4", "--state", str(product / "state"))
        with subprocess.Popen(
            [sys.executable, "-m", "midshift", *arguments, "--config", str(product)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MIDSHIFT_PROVIDER_SIM_URL": url},
        ) as process:
            calls.reached.wait()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()

        assert 4 == process.returncode
        assert "Type next: the same command goes on from here" in said
        paid = calls.total
        assert 0 < paid < 2 * CASES
        assert evaluated(product, url) in (0, 1)
        assert 2 * CASES == calls.total
