"""`midshift radar`: every model of a product, held against the end of soak."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from midshift.cli import main, radar
from midshift.cli.project import Target
from midshift.domain.retirement import FitVerdict, ModelName, Role, Sighting, Source
from midshift.errors import ConfigError, UsageError
from midshift.providers.http.client import HttpClient
from midshift.providers.lifecycle.answers import SigningKeys
from midshift.testing import ManualClock
from tests.cli.test_defining import NEW_FILE, OLD_FILE, a_product, edit
from tests.providers.lifecycle.fakes import raw, stub

CLOCK = ManualClock(datetime(2026, 11, 22, 12, tzinfo=UTC))
END_OF_SOAK = date(2027, 1, 7)
"""46 days on: eval 1, re-tune 4, shadow 14 for normal stakes, canary 13, soak 14."""

INCUMBENT, CANDIDATE = ModelName("sim", "sonnet-3.7"), ModelName("sim", "sonnet-4.6")


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """The starter's files."""
    return a_product(tmp_path)


def dated(product: Path, incumbent: str | None, candidate: str | None) -> Path:
    """The product, with shutdown dates that its owner knows."""
    days = {INCUMBENT: incumbent, CANDIDATE: candidate}
    lines = [f"  {name}: {day}\n" for name, day in days.items() if day is not None]
    with (product / "midshift.yaml").open("a", encoding="utf-8") as file:
        file.write("retirements:\n" + "".join(lines))
    return product


def seen(product: Path, until: date | None = None) -> dict[ModelName, Sighting]:
    """One look that asks nobody."""
    found = asyncio.run(radar.sightings(Target(product), until, CLOCK, {}, None))
    return {item.retirement.name: item for item in found}


def run(product: Path, *arguments: str) -> int:
    """The command, offline."""
    return main.run(["radar", "--offline", "--config", str(product), *arguments])


def test_incumbent_and_candidates_are_on_the_radar(product: Path) -> None:
    """A candidate that is about to retire is no candidate, and its file lies beside the incumbent's."""
    found = seen(product)

    assert {INCUMBENT: [Role.INCUMBENT], CANDIDATE: [Role.CANDIDATE]} == {
        name: [use.role for use in item.uses] for name, item in found.items()
    }
    assert NEW_FILE == found[CANDIDATE].uses[0].by


def test_a_safe_harbour_is_on_the_radar(product: Path) -> None:
    """It is where a rollback leads when the incumbent is gone; a harbour that closes first is none."""
    edit(product / "midshift.yaml", f"incumbent: {OLD_FILE}", f"incumbent: {OLD_FILE}\n    safe_harbour: {NEW_FILE}")

    assert [Role.SAFE_HARBOUR] == [use.role for use in seen(product)[CANDIDATE].uses]


def test_the_end_of_soak_is_the_plans_own_if_it_began_today(product: Path) -> None:
    assert {END_OF_SOAK} == {item.end_of_soak for item in seen(product).values()}


def test_an_end_of_soak_that_is_given_counts_for_all(product: Path) -> None:
    assert {date(2028, 1, 1)} == {item.end_of_soak for item in seen(product, date(2028, 1, 1)).values()}


def test_the_users_date_is_held_against_the_plan(product: Path) -> None:
    found = seen(dated(product, "2027-01-07", "2027-01-15"))

    assert (FitVerdict.TOO_LATE, Source.USER) == (found[INCUMBENT].fit.verdict, found[INCUMBENT].retirement.source)
    assert (FitVerdict.CLEAR, 8) == (found[CANDIDATE].fit.verdict, found[CANDIDATE].fit.days_spare)


def test_a_variant_that_cannot_be_read_is_told_and_hides_no_other(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (product / "variants" / "draft.yaml").write_text("provider: sim\n", encoding="utf-8")

    assert {INCUMBENT, CANDIDATE} == set(seen(product))
    assert "variants/draft.yaml is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("incumbent", "candidate", "code"),
    [
        ("2099-01-01", "2099-01-01", 0),
        ("2099-01-01", None, 3),
        ("2000-01-01", "2099-01-01", 1),
        ("2000-01-01", None, 1),
    ],
)
def test_the_exit_code_is_for_ci(product: Path, incumbent: str, candidate: str | None, code: int) -> None:
    """1 stops a pipeline; 3 says that nobody knows, which is not the same as well."""
    assert code == run(dated(product, incumbent, candidate))


def test_json_says_what_the_table_says(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(dated(product, "2099-01-01", None), "--json", "--end-of-soak", "2098-12-20")

    found = json.loads(capsys.readouterr().out)
    assert 3 == code
    assert ("midshift.radar/1", "unknown") == (found["format"], found["verdict"])
    old = next(item for item in found["models"] if item["model"] == "sonnet-3.7")
    assert ("2099-01-01", 12, "clear", "user") == tuple(
        old[key] for key in ("shuts_down_on", "days_spare", "verdict", "source")
    )
    assert ["vendor's API not asked: offline"] == old["notes"]


def test_metrics_are_written_whole_and_for_others_to_read(product: Path) -> None:
    """node_exporter runs as another user, and reads at any moment."""
    path = product / "midshift.prom"

    run(dated(product, "2099-01-01", None), "--metrics", str(path))

    assert path.read_text(encoding="utf-8").startswith("# HELP midshift_model_days_left ")
    assert ["midshift.prom"] == [found.name for found in product.glob("*.prom*")]
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()


@pytest.mark.parametrize("text", ["", "soon", "2027-02-30", "01.02.2027"])
def test_a_day_that_is_none_is_a_usage_error(product: Path, text: str) -> None:
    with pytest.raises(UsageError, match="YEAR-MONTH-DAY"):
        radar.day(text)
    assert 2 == run(product, "--end-of-soak", text)


@pytest.mark.parametrize(("text", "expected"), [("1m", 60.0), ("6h", 21600.0), ("1d", 86400.0), ("4w", 2419200.0)])
def test_a_watch_looks_every_so_often(text: str, expected: float) -> None:
    assert expected == radar.seconds(text)


@pytest.mark.parametrize("text", ["", "1", "1s", "0d", "5w", "1.5h", "-1d"])
def test_a_watch_is_no_poll(text: str) -> None:
    """Dates change by the week; vendors have limits."""
    with pytest.raises(UsageError, match="--watch"):
        radar.seconds(text)


class Turns:
    """Implements `radar.Waiting`: nothing is waited for, and it ends after so many turns."""

    def __init__(self, turns: int) -> None:
        self.left = turns
        self.waited: list[float] = []

    def wait(self, timeout: float) -> bool:
        """True at the last turn."""
        self.waited.append(timeout)
        self.left -= 1
        return self.left == 0


def test_a_watch_looks_again_after_each_wait_and_leaves_with_the_last_word() -> None:
    codes, waiting = iter([1, 3, 0]), Turns(3)

    assert 0 == radar.watch(lambda: next(codes), waiting, 86400.0)
    assert [86400.0] * 3 == waiting.waited


def test_a_look_that_fails_does_not_end_a_watch(capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody is editing midshift.yaml, or the folder of metrics is being moved."""
    looks = iter([ConfigError("half a file"), OSError(2, "No such file", "out.prom"), None])

    def once() -> int:
        trouble = next(looks)
        if trouble is not None:
            raise trouble
        return 0

    assert 0 == radar.watch(once, Turns(3), 60.0)
    told = capsys.readouterr().err
    assert "half a file" in told
    assert "out.prom: No such file" in told


def test_vendors_are_asked_over_the_network_with_what_files_and_environment_say(product: Path) -> None:
    """The whole way but the vendor: files, keys, HTTP, catalogue, verdict."""
    edit(product / OLD_FILE, "provider: sim\nmodel: sonnet-3.7", "provider: openai\nmodel: gpt-x")
    edit(product / NEW_FILE, "provider: sim\nmodel: sonnet-4.6", "provider: anthropic\nmodel: claude-x")
    edit(product / "midshift.yaml", "vendors: [sim]", "vendors: [openai, anthropic]")
    replies = {
        "/v1/models/gpt-x": raw("200 OK", {"id": "gpt-x", "shutdown_date": "2026-12-11"}),
        "/v1/models/claude-x": raw("429 Too Many Requests", {"error": {}}),
    }

    async def scenario() -> list[Sighting]:
        async with stub(replies) as base, HttpClient({}) as http:
            known = {f"MIDSHIFT_PROVIDER_{name}_URL": f"{base}/v1" for name in ("OPENAI", "ANTHROPIC")}
            keys = {f"MIDSHIFT_PROVIDER_{name}_KEY": "key" for name in ("OPENAI", "ANTHROPIC")}
            return await radar.sightings(Target(product), None, CLOCK, known | keys, http)

    claude, gpt = asyncio.run(scenario())

    assert (FitVerdict.TOO_LATE, Source.LIVE_API) == (gpt.fit.verdict, gpt.retirement.source)
    assert "shuts down in 19 days, 27 days before the end of soak" == gpt.fit.words
    assert (FitVerdict.UNKNOWN, Source.NOBODY) == (claude.fit.verdict, claude.retirement.source)
    assert "answered 429" in claude.retirement.notes[0]


def test_a_vendors_own_key_goes_to_the_vendor(product: Path) -> None:
    found = radar.access_of(Target(product).definitions(), ["openai"], {"OPENAI_API_KEY": "key"}, product)["openai"]

    assert (None, "key", "openai") == (found.base_url, found.secret, found.vendor)


def test_a_vendors_own_key_does_not_go_to_another_address(product: Path) -> None:
    known = {"OPENAI_API_KEY": "key", "MIDSHIFT_PROVIDER_OPENAI_URL": "http://127.0.0.1:9/v1"}

    found = radar.access_of(Target(product).definitions(), ["openai"], known, product)["openai"]

    assert ("http://127.0.0.1:9/v1", None) == (found.base_url, found.secret)


def test_amazon_is_asked_with_the_variables_of_its_own_tools(product: Path) -> None:
    known = {
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
    }

    found = radar.access_of(Target(product).definitions(), ["bedrock"], known, product)["bedrock"]

    assert SigningKeys("AKIDEXAMPLE", "secret", "token") == found.signing
    assert ("eu-central-1", None) == (found.region, found.secret)


def umask() -> int:
    """What this process takes away from the rights of new files."""
    found = os.umask(0)
    os.umask(found)
    return found
