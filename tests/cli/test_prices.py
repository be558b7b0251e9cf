"""`midshift prices`: what is shown, what a refresh may do, and a run under other prices."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from midshift.cli import main, prices
from midshift.cli.project import Target
from midshift.domain.usage import Usage
from midshift.errors import InputError, UsageError
from midshift.ports import HttpAnswer, HttpFailed, HttpRequest
from midshift.providers import catalogue
from midshift.providers.prices import pinned
from midshift.providers.prices.book import Priced

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LITELLM = b"""{
 "gpt-5": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 9e-06, "output_cost_per_token": 1e-05},
 "new": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06}
}"""
OWN = """
format: midshift.prices/1
prices:
  - {provider: openai, model: gpt-5, per_million_tokens: {input: 1, output: 10}, source: contract 17, date: 2026-03-01}
"""


@dataclass
class Answering:
    """An `Http` that always answers the same, or fails."""

    status: int = 200
    body: bytes = LITELLM
    fails: bool = False

    def ask(self, request: HttpRequest, timeout_s: float) -> Awaitable[HttpAnswer]:
        """The answer."""

        async def answer() -> HttpAnswer:
            if self.fails:
                raise HttpFailed("timeout", "no answer from host")
            return HttpAnswer(self.status, {}, self.body)

        return answer()


def run(folder: Path, *arguments: str) -> int:
    """One command, on the files of a folder."""
    folders = ["--state", str(folder / "state")]
    return main.run(["prices", *arguments, *folders])


def shown(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What `show --json` says."""
    run(folder, "show", *arguments, "--config", str(folder), "--json")
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_price_is_shown_with_its_source_and_whoever_says_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lists that differ are the first sign of an old price, and it is not for us to hide one."""
    (tmp_path / "prices.yaml").write_text(OWN)

    assert 0 == run(tmp_path, "show", "gpt-5", "--provider", "openai", "--config", str(tmp_path))
    text = capsys.readouterr().out
    found = shown(tmp_path, capsys, "gpt-5", "--provider", "openai")["models"][0]

    assert "input 1 · output 10 · USD per million tokens" in text
    assert "contract 17" in text
    assert "! genai-prices says input 1.25, not 1" in text
    assert "! catalogue says input 1.25, not 1" in text
    assert ("own", "2026-03-01", "1") == (found["source"], found["as_of"], found["prices"]["rates"]["input"])
    assert [("genai-prices", "1.25", "1"), ("catalogue", "1.25", "1")] == [
        (item["source"], item["usd"], item["instead_of"]) for item in found["disagree"]
    ]


def test_a_price_that_nobody_has_is_unknown_and_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 3 == run(tmp_path, "show", "no-such-model", "--config", str(tmp_path))
    said = capsys.readouterr().out
    assert "unknown" in said and "Type next: {provider: " in said and "in prices.yaml" in said
    assert 3 == run(tmp_path, "show", "gpt-5", "--provider", "openai", "--tier", "scale", "--config", str(tmp_path))


def test_a_price_of_another_day_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(tmp_path, capsys, "gpt-5.6-sol", "--provider", "openai", "--at", "2026-08-20")

    assert "5" == found["models"][0]["prices"]["rates"]["input"]
    assert "2026-08-20T12:00:00+00:00" == found["at"]


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-11-01T12:00:00"])
def test_a_moment_must_be_one(text: str) -> None:
    with pytest.raises(UsageError, match="--at"):
        prices.moment(text)


def test_without_a_model_and_without_files_it_says_what_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == run(tmp_path, "show", "--config", str(tmp_path))
    assert "Type next" in capsys.readouterr().err


def test_a_refresh_from_a_file_is_used_from_then_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "model_prices.json"
    source.write_bytes(LITELLM)

    said = "--from", str(source), "--version", "litellm 9.9", "--accept-losses", "--json"
    assert 0 == run(tmp_path, "refresh", *said)
    said = json.loads(capsys.readouterr().out)
    made = catalogue.read((tmp_path / "state" / "catalogue.json").read_bytes())

    assert ("litellm 9.9", "file model_prices.json", 2) == (made.version, made.origin, len(made))
    assert (2, 1, 1) == (said["models"], said["new"], said["with another price"])
    assert said["gone"] == len(catalogue.bundled()) - 1


def test_a_refresh_from_an_address_keeps_the_address(tmp_path: Path) -> None:
    wanted = prices.Refresh("https://host/prices.json", accepts_losses=True)
    prices.refresh(tmp_path, wanted, date(2099, 1, 1), False, Answering())

    assert "https://host/prices.json" == catalogue.load(tmp_path).origin


@pytest.mark.parametrize(
    ("url", "http", "error"),
    [
        ("http://host/prices.json", Answering(), UsageError),
        ("https://host/prices.json", Answering(status=404), InputError),
        ("https://host/prices.json", Answering(fails=True), InputError),
        ("https://host/prices.json", Answering(body=b"<html>"), InputError),
    ],
    ids=["not encrypted", "not found", "no answer", "no prices"],
)
def test_a_refresh_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, url: str, http: Answering, error: type[Exception]
) -> None:
    with pytest.raises(error):
        prices.refresh(tmp_path, prices.Refresh(url), date(2099, 1, 1), False, http)

    assert [] == list(tmp_path.iterdir())


def test_a_catalogue_that_has_lost_most_models_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    """Half a download, or another file: afterwards caps and budgets could not be kept, and nobody would know why."""
    source = tmp_path / "model_prices.json"
    source.write_bytes(LITELLM)
    known = len(catalogue.load(tmp_path / "state"))

    with pytest.raises(InputError, match=rf"found 2 models, and {known - 1:,} of the {known:,} known.*accept-losses"):
        prices.refresh(tmp_path / "state", prices.Refresh(str(source)), date(2099, 1, 1), False)
    assert not (tmp_path / "state").exists()

    prices.refresh(tmp_path / "state", prices.Refresh(str(source), accepts_losses=True), date(2099, 1, 1), False)
    assert 2 == len(catalogue.load(tmp_path / "state"))


def test_a_catalogue_that_has_lost_a_few_models_is_taken(tmp_path: Path) -> None:
    """Models retire."""
    listed = json.loads(Path(str(catalogue.__file__)).with_name("data").joinpath("catalogue.json").read_bytes())
    entries = listed["models"]
    listed["models"] = entries[len(entries) // 10 :] if isinstance(entries, list) else dict(list(entries.items())[9:])
    source = tmp_path / "catalogue.json"
    source.write_text(json.dumps(listed))

    assert 0 == prices.refresh(tmp_path / "state", prices.Refresh(str(source)), date(2099, 1, 1), False)


@pytest.mark.parametrize("content", [b"", b"\xf1\xff", b"[]"])
def test_a_refresh_from_what_is_no_catalogue_names_the_file(content: bytes, tmp_path: Path) -> None:
    """The words of a decoder alone do not say which file they are about."""
    file = tmp_path / "prices-of-2099.json"
    file.write_bytes(content)

    with pytest.raises(InputError, match=r"file prices-of-2099\.json: expected a JSON object of models"):
        prices.refresh(tmp_path / "state", prices.Refresh(str(file)), date(2099, 1, 1), False)


def a_run(folder: Path, usage: Usage) -> Path:
    """A recorded run of one call, at the prices of the book."""
    book = prices.book(prices.Where(Target(folder), folder / "state"), {})
    pins = pinned.pin(book, [("openai", "gpt-5", None)], NOON)
    path = folder / "run.json"
    path.write_bytes(pinned.calls_file(pins, [pinned.Call("openai", "gpt-5", NOON, usage, 0.5)]))
    return path


def test_a_run_is_recomputed_under_ones_own_prices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a_run(tmp_path, Usage(1000, 100, 0))
    (tmp_path / "prices.yaml").write_text(OWN)

    assert 0 == run(tmp_path, "recompute", str(path), "--config", str(tmp_path), "--json")
    found = json.loads(capsys.readouterr().out)

    assert Decimal("0.002") == Decimal(found["total_usd"])
    assert 0.5 == found["recorded_usd"]
    assert found["book_before"] != found["book_after"]


def test_a_run_is_recomputed_under_pinned_prices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, pins = a_run(tmp_path, Usage(1000, 100, 0)), tmp_path / "pins.json"
    pins.write_text(json.dumps(json.loads(path.read_bytes())["prices"]))
    (tmp_path / "prices.yaml").write_text(OWN)

    assert 0 == run(tmp_path, "recompute", str(path), "--book", str(pins), "--config", str(tmp_path))
    assert "recomputed   0.002250 USD" in capsys.readouterr().out


def test_a_run_with_an_unknown_cost_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a_run(tmp_path, Usage(1000, 100))

    assert 3 == run(tmp_path, "recompute", str(path), "--config", str(tmp_path))
    out = capsys.readouterr().out
    assert "recomputed   unknown" in out
    assert "1 unknown: cached_in was not reported" in out


@pytest.mark.parametrize("content", ["", "[]", '{"format": "x"}', '{"format": "midshift.calls/1", "calls": []}'])
def test_what_is_no_run_is_named(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text(content)

    assert 2 == run(tmp_path, "recompute", str(tmp_path / "run.json"), "--config", str(tmp_path))
    assert "run.json" in capsys.readouterr().err


def test_a_providers_own_name_leads_to_its_vendors_prices(tmp_path: Path) -> None:
    vendors: Mapping[str, str] = {"our-openai": "openai"}
    book = prices.book(prices.Where(Target(tmp_path), tmp_path), vendors)

    assert isinstance(book.prices("our-openai", "gpt-5", NOON), Priced)
