"""The state folder: evals that count, and what the pairs in it show."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from midshift.cli.basis import Holding
from midshift.cli.project import Target
from midshift.cli.state_folder import StateFolder
from midshift.domain.evidence import EvalEvidence
from midshift.domain.exposure import Pair, ShadowAnswer
from midshift.domain.gate import Decision
from midshift.domain.light import replaced
from midshift.domain.unseen import PairKind
from midshift.domain.upgrade import Kind, Upgrade
from midshift.store.recorder import SegmentWriter
from midshift.testing import ManualClock
from tests.cli.kept import kept
from tests.cli.test_defining import WORKLOAD, a_product, run, store_of, walked


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product whose definitions are applied."""
    a_product(tmp_path)
    run(tmp_path, "apply", "--who", "ada")
    return tmp_path


def test_an_eval_comes_back_as_it_was_written(product: Path) -> None:
    """The controller decides on it, in another process, maybe days later."""
    upgrade = walked(product)
    evidence = EvalEvidence(upgrade.candidate, Decision.PROCEED_WITH_CAUTION, "so", ("german",), ("everyday",))
    folder = StateFolder(product / "state", ManualClock())
    assert folder.eval_of(upgrade) is None

    path = kept(product, upgrade, evidence)

    found = folder.eval_of(upgrade)
    assert found is not None
    assert (evidence, WORKLOAD) == (replace(found, basis=None), found.basis and found.basis.workload)
    assert f"{upgrade.candidate}.json" == path.name


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": "another/1", "evidence": {}}', b"\xff"])
def test_an_eval_that_cannot_be_read_is_no_eval(product: Path, content: bytes) -> None:
    """Missing evidence is never success, and no reason to stop looking at other upgrades."""
    upgrade = walked(product)
    folder = StateFolder(product / "state", ManualClock())
    kept(product, upgrade, EvalEvidence(upgrade.candidate, Decision.PROCEED, "so")).write_bytes(content)

    assert folder.eval_of(upgrade) is None
    assert f"counts as none. Type next: midshift upgrade eval {WORKLOAD}" in folder.eval_trouble(upgrade)


def test_an_eval_of_an_earlier_form_is_none_and_says_so(product: Path) -> None:
    """It does not say which cases, graders and margins it rests on, so nobody knows what it proves."""
    upgrade = walked(product)
    folder = StateFolder(product / "state", ManualClock())
    assert "" == folder.eval_trouble(upgrade)
    (product / "state" / "evals").mkdir(parents=True)
    (product / "state" / "evals" / f"{upgrade.candidate}.json").write_text("{}")

    assert folder.eval_of(upgrade) is None
    assert "of an earlier form" in folder.eval_trouble(upgrade)


@pytest.mark.parametrize(
    ("name", "old", "new", "part"),
    [
        ("suites/support_reply.jsonl", "messages", "messages", ""),
        ("suites/support_reply.jsonl", '"role": "user", "content": "', '"role": "user", "content": "x', "other cases"),
        ("midshift.yaml", "margin: 2pt ", "margin: 1pt ", "margins (* 2pt"),
    ],
    ids=["nothing", "cases", "margin"],
)
def test_an_eval_that_rests_on_something_else_counts_as_none(
    product: Path, name: str, old: str, new: str, part: str
) -> None:
    """And whoever waits for it hears which part differs, and what to type."""
    upgrade = walked(product)
    kept(product, upgrade, EvalEvidence(upgrade.candidate, Decision.PROCEED, "so"))
    file = product / name.replace("support_reply", WORKLOAD)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    assert 0 == run(product, "apply", "--who", "ada")

    with store_of(product) as store:
        target, clock = Target(product, store="file:store.txt"), ManualClock()
        folder = StateFolder(product / "state", clock, Holding(target, store, clock))

        assert (part == "") == (folder.eval_of(upgrade) is not None)
        assert part in folder.eval_trouble(upgrade)


@pytest.mark.parametrize("part", ["workload", "incumbent"])
def test_an_eval_of_another_workload_or_incumbent_counts_as_none(product: Path, part: str) -> None:
    """Two workloads may have one candidate: what is shown for one is not shown for the other."""
    upgrade = walked(product)
    path = kept(product, upgrade, EvalEvidence(upgrade.candidate, Decision.PROCEED, "so"))
    content = json.loads(path.read_text())
    content["evidence"]["basis"][part] = "another"
    path.write_text(json.dumps(content))
    folder = StateFolder(product / "state", ManualClock())

    assert folder.eval_of(upgrade) is None
    assert f"rests on other {part}: it counts as none" in folder.eval_trouble(upgrade)


def test_two_workloads_with_one_candidate_have_an_eval_each(product: Path) -> None:
    upgrade = walked(product)
    evidence = EvalEvidence(upgrade.candidate, Decision.PROCEED, "so")
    path = kept(product, upgrade, evidence)
    basis = StateFolder(product / "state", ManualClock()).eval_of(upgrade)
    assert basis is not None and basis.basis is not None

    other = replace(evidence, basis=replace(basis.basis, workload="another"))

    assert path != StateFolder(product / "state", ManualClock()).write_eval(other)
    assert basis == StateFolder(product / "state", ManualClock()).eval_of(upgrade)


def a_pair(upgrade: Upgrade, number: int, text: str) -> Pair:
    """Two answers to one request; the incumbent's is always the same."""
    old = ShadowAnswer("Yes, of course. Is there anything else?", 200, 1.0, 10, 10, 0.001, "stop")
    return Pair(f"r-{number}", WORKLOAD, upgrade.id, upgrade.candidate, (), old, replaced(old, text=text))


def test_drift_is_found_in_the_pairs_of_this_upgrade(product: Path) -> None:
    """What shadow has shown must reach the gate; other candidates' pairs are none of it."""
    upgrade = walked(product, Kind.EVAL_CLEARED)
    with SegmentWriter(product / "state", "gateway-1") as writer:
        for number in range(60):
            writer.record_pair(a_pair(upgrade, number, "Yes."))
            writer.record_pair(a_pair(replace(upgrade, id="another"), number, "{}"))

    found = StateFolder(product / "state", ManualClock()).flagged_drift(upgrade)

    assert "length:chars" in found
    assert [] == [name for name in found if name.startswith("json")]


@pytest.mark.parametrize("kind", [PairKind.LIVE, PairKind.REVERSE, PairKind.NOISE])
def test_drift_of_a_shadow_is_seen_in_shadow_pairs_alone(product: Path, kind: PairKind) -> None:
    """The others are samples of other requests, and a noise pair has no candidate in it."""
    upgrade = walked(product, Kind.EVAL_CLEARED)
    with SegmentWriter(product / "state", "gateway-1") as writer:
        for number in range(60):
            writer.record_pair(replaced(a_pair(upgrade, number, "Yes."), kind=kind))

    assert () == StateFolder(product / "state", ManualClock()).flagged_drift(upgrade)


def test_divergence_is_net_of_what_the_incumbent_differs_from_itself(product: Path) -> None:
    """The incumbent says it in other words each time; the candidate says something else."""
    upgrade = walked(product, Kind.EVAL_CLEARED)
    with SegmentWriter(product / "state", "gateway-1") as writer:
        for number in range(60):
            shadow = a_pair(upgrade, number, '{"answer": "yes"}')
            again = replaced(shadow.incumbent, text="Yes, of course! Is there anything else?")
            noise = replaced(shadow, kind=PairKind.NOISE, candidate_id=upgrade.incumbent, candidate=again)
            writer.record_pair(shadow)
            writer.record_pair(noise)
            writer.record_pair(replaced(noise, request_id=f"f-{number}", candidate=ShadowAnswer(None, 500)))

    found = StateFolder(product / "state", ManualClock()).divergence(upgrade)

    words = next(item for item in found if item.metric == "words")
    assert (0.0 < words.incumbent < words.candidate, 60) == (True, words.net.n)
    assert words.net.low > 0.0
    form = next(item for item in found if item.metric == "form")
    assert (1.0, 0.0) == (form.candidate, form.incumbent)


def test_drift_is_computed_again_when_there_is_more(product: Path) -> None:
    """A look at all pairs is dear, so not at every tick; but what came later must not be missed."""
    upgrade, clock = walked(product, Kind.EVAL_CLEARED), ManualClock()
    folder = StateFolder(product / "state", clock)
    with SegmentWriter(product / "state", "gateway-1") as writer:
        for number in range(60):
            writer.record_pair(a_pair(upgrade, number, "Yes, of course. Is there anything else?"))
        writer.flush()
        before = folder.flagged_drift(upgrade)
        for number in range(60, 80):
            writer.record_pair(a_pair(upgrade, number, "No."))
        writer.flush()
        at_once = folder.flagged_drift(upgrade)
        clock.advance(601.0)

        assert ((), ()) == (before, at_once)
        assert "length:chars" in folder.flagged_drift(upgrade)
