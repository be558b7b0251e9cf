"""The files that `midshift init` writes."""

import json
from datetime import UTC, datetime
from pathlib import Path

from midshift import config
from midshift.config import starter
from midshift.config.starter import Answers
from midshift.domain.variant import PromptMode
from midshift.evals import suite_file
from midshift.evals.graders import compiled
from midshift.evals.rows import Answer, Side
from midshift.evals.suite_file import Suite
from midshift.providers.prices import own
from midshift.providers.prices.book import PriceBook, Priced


def test_the_starter_loads_and_has_no_remark_but_green_ones() -> None:
    """The first thing that anybody runs after `init` is `check`."""
    read = config.parse(starter.files())

    assert ["support-reply"] == list(read.workloads)
    assert {config.Level.GREEN} == {remark.level for remark in config.check(read)}


def test_the_starter_has_a_candidate_to_upgrade_to() -> None:
    """The second is to try an upgrade."""
    candidate = config.variant_file(starter.files().get, "variants/sonnet-4.6.yaml")

    assert PromptMode.REPLACE is candidate.variant.prompt.mode
    assert candidate.variant not in config.parse(starter.files()).variants.values()


def test_the_starter_is_about_what_one_says() -> None:
    """Names of one's own, in every file that mentions them."""
    files = starter.files(Answers("drafts", "openai", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"))

    read = config.parse(files)

    assert {config.Level.GREEN} == {remark.level for remark in config.check(read)}
    assert ("gpt-4o-2024-08-06",) == read.workloads["drafts"].workload.claims
    assert "suites/drafts.jsonl" in files
    assert "variants/gpt-4o-2024-08-06-new.yaml" in files
    assert not any("support-reply" in text for text in files.values())


def test_an_answer_that_does_not_fit_is_told_by_the_reader() -> None:
    """The names become YAML; nothing that is typed can become more than a name."""
    hostile = starter.files(Answers(workload="a: {b: c}\n#"))

    assert not is_read(hostile)
    assert is_read(starter.files(Answers(incumbent="some.model/with:parts-1")))


def test_the_starter_fits_the_folder_that_it_is_written_to(tmp_path: Path) -> None:
    """From the disk as well, links and all."""
    for name, text in starter.files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    assert config.parse(starter.files()) == config.load(tmp_path)


def is_read(files: dict[str, str]) -> bool:
    """Whether the files load."""
    try:
        config.parse(files)
    except config.InvalidConfig:
        return False
    return True


def test_the_starter_can_be_evaluated_at_once() -> None:
    """Graders in every case, a limit for every answer, a price for both models: a first eval stops nowhere."""
    files = starter.files()
    cases = [json.loads(line) for line in files["suites/support-reply.jsonl"].splitlines()]
    book = own.read(files["prices.yaml"].encode(), "prices.yaml")

    assert all(case["graders"] and case["params"]["max_tokens"] for case in cases)
    for model in ("sonnet-3.7", "sonnet-4.6"):
        assert isinstance(PriceBook([book], {}).prices("sim", model, datetime(2026, 11, 1, tzinfo=UTC)), Priced)
    graders = Suite("s", tuple(suite_file.read(files["suites/support-reply.jsonl"].encode().splitlines(), "s")))
    graded = compiled(graders)(graders.cases[0], Answer("You will hear from us tomorrow."), Side.CANDIDATE)
    assert {"says_when": 1.0} == graded


def test_prices_that_are_made_up_are_not_written_for_models_that_are_real() -> None:
    """They would win over the published ones."""
    assert "prices.yaml" not in starter.files(Answers(provider="openai", incumbent="gpt-4o-2024-08-06"))
