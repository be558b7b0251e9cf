"""`midshift models`, and the pin check where an upgrade begins."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from midshift.cli import main, models, pinning
from midshift.cli.project import Target
from midshift.domain.upgrade import FLOATING
from midshift.domain.variant import Variant
from midshift.errors import ConfigError
from midshift.ports import HttpAnswer, HttpRequest
from midshift.providers.lifecycle.answers import Access
from midshift.providers.pins import PinClass
from midshift.reports.models import ModelLine
from midshift.testing import ManualClock
from tests.cli.test_defining import NEW_FILE, OLD_FILE, WORKLOAD, a_product, edit, run, store_of

PINNED, FLOATS = "claude-sonnet-4-6", "claude-sonnet-4-5"


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product whose models are at Anthropic: a pinned incumbent and a floating candidate."""
    return a_product_of(tmp_path, incumbent="claude-opus-5", candidate=FLOATS)


def a_product_of(folder: Path, incumbent: str, candidate: str, provider: str = "anthropic") -> Path:
    """The starter's product with other models, applied."""
    a_product(folder)
    edit(folder / "midshift.yaml", "vendors: [sim]", f"vendors: [{provider}]")
    for file, name, model in ((OLD_FILE, "sonnet-3.7", incumbent), (NEW_FILE, "sonnet-4.6", candidate)):
        edit(folder / file, "provider: sim", f"provider: {provider}")
        edit(folder / file, f"model: {name}", f"model: {model}")
    assert 0 == run(folder, "apply", "--who", "ada")
    return folder


def start(product: Path, *more: str) -> int:
    """Begin an upgrade."""
    return run(product, "upgrade", "start", WORKLOAD, "--to", NEW_FILE, "--who", "ada", *more)


def test_an_upgrade_to_a_floating_model_is_refused_with_the_pin_and_the_override(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was evaluated would not be what serves, and nobody would have been told."""
    assert 2 == start(product)

    said = capsys.readouterr().err
    assert f"candidate '{FLOATS}' at 'anthropic' (floating)" in said
    assert "Type next: model: claude-sonnet-4-5-20250929, or: --allow-floating 'WHY' --who NAME" in said
    with store_of(product) as store:
        assert [] == list(store.upgrades())


def test_a_floating_incumbent_is_refused_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of every comparison is the incumbent."""
    product = a_product_of(tmp_path, incumbent=FLOATS, candidate=PINNED)

    assert 2 == start(product)
    assert f"incumbent '{FLOATS}'" in capsys.readouterr().err


def test_an_override_is_in_the_record_with_name_and_reason(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == start(product, "--allow-floating", "no pin in our region")

    with store_of(product) as store:
        (waiver,) = store.upgrade(f"{WORKLOAD}-1").waivers
    assert (FLOATING, "ada") == (waiver.what, waiver.who)
    assert f"no pin in our region (candidate '{FLOATS}' at 'anthropic' (floating))" == waiver.why
    assert "No further than shadow" in capsys.readouterr().out
    assert 0 == run(product, "upgrade", "status")
    assert "waived pins:floating by ada: no pin in our region" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("reason", ["", "  "])
def test_an_override_without_a_reason_is_refused(product: Path, reason: str) -> None:
    assert 2 == start(product, "--allow-floating", reason)


def test_an_override_without_a_name_is_refused(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--to", NEW_FILE, "--who", " ", "--allow-floating", "because"]

    assert 2 == run(product, "upgrade", "start", WORKLOAD, *arguments)
    assert "Type next: --who NAME" in capsys.readouterr().err


def test_an_override_of_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kept in a script, it would one day hide the first floating model."""
    product = a_product_of(tmp_path, incumbent="claude-opus-5", candidate=PINNED)

    assert 2 == start(product, "--allow-floating", "because")
    assert "nothing to override" in capsys.readouterr().err
    assert 0 == start(product)


def test_the_next_candidate_is_held_to_the_same(product: Path) -> None:
    start(product, "--allow-floating", "because")
    again = (product / NEW_FILE).read_text(encoding="utf-8").replace("effort: low", "effort: high")
    (product / "variants" / "again.yaml").write_text(again, encoding="utf-8")
    (product / "variants" / "pinned.yaml").write_text(again.replace(FLOATS, PINNED), encoding="utf-8")
    said = ["--who", "bob", "--why", "re-tuned"]

    assert 2 == run(product, "upgrade", "candidate", WORKLOAD, "--to", "variants/again.yaml", *said)
    arguments = [*said, "--allow-floating", "still none"]
    assert 0 == run(product, "upgrade", "candidate", WORKLOAD, "--to", "variants/again.yaml", *arguments)
    with store_of(product) as store:
        (waiver,) = store.upgrade(f"{WORKLOAD}-1").waivers
    assert (FLOATING, "bob") == (waiver.what, waiver.who)
    assert 0 == run(product, "upgrade", "candidate", WORKLOAD, "--to", "variants/pinned.yaml", *said)
    with store_of(product) as store:
        assert () == store.upgrade(f"{WORKLOAD}-1").waivers


def test_only_an_overridden_upgrade_can_be_let_into_the_canary_by_name(product: Path) -> None:
    waive = ["upgrade", "waive", WORKLOAD, "pins:canary", "--who", "bob", "--why", "seen"]
    start(product, "--allow-floating", "because")
    assert 0 == run(product, *waive)

    run(product, "rollback", WORKLOAD, "--wait", "0")
    edit(product / NEW_FILE, FLOATS, PINNED)
    assert 0 == start(product)
    assert 2 == run(product, *waive)


def test_simulated_models_are_never_in_the_way(tmp_path: Path) -> None:
    """The demo has to work before there is a key."""
    a_product(tmp_path)
    run(tmp_path, "apply", "--who", "ada")

    assert 0 == start(tmp_path)
    assert 0 == run(tmp_path, "models")


def test_the_table_says_what_floats_and_leaves_with_1(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(product / "midshift.yaml", "    incumbent:", f"    safe_harbour: {NEW_FILE}\n    incumbent:")
    capsys.readouterr()

    assert 1 == run(product, "models", "--json")

    found = json.loads(capsys.readouterr().out)
    assert ("midshift.models/1", False, []) == (found["format"], found["ok"], found["notes"])
    lines = {item["model"]: item for item in found["models"]}
    assert ("pinned", True, []) == tuple(lines["claude-opus-5"][name] for name in ("class", "is_firm", "pins"))
    assert ["claude-sonnet-4-5-20250929"] == lines[FLOATS]["pins"]
    assert [f"{WORKLOAD} safe harbour"] == lines[FLOATS]["uses"]
    assert "2026-11-30" == lines[FLOATS]["retirement"]["shuts_down_on"]
    assert lines[FLOATS]["source"].startswith("https://platform.claude.com/")


def test_an_override_covers_its_upgrade_alone(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The candidate of an open upgrade is overridden; the same model as a safe harbour is not."""
    start(product, "--allow-floating", "because")
    assert 0 == run(product, "models")
    assert "allowed by ada: because" in " ".join(capsys.readouterr().out.split())

    edit(product / "midshift.yaml", "    incumbent:", f"    safe_harbour: {NEW_FILE}\n    incumbent:")
    assert 1 == run(product, "models")


def test_without_a_store_the_files_are_shown_and_the_gap_is_told(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (product / "store.txt").unlink()
    capsys.readouterr()

    assert 0 == run(product, "models", "--json")
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert "open upgrades are not listed" in note


class OneDeployment:
    """Azure's control plane, with one deployment."""

    def __init__(self, option: str = "NoAutoUpgrade") -> None:
        self.option = option
        self.asked: list[HttpRequest] = []

    async def ask(self, request: HttpRequest, timeout_s: float) -> HttpAnswer:
        """The deployment, whatever is asked."""
        self.asked.append(request)
        model = {"name": "gpt-4o", "version": "2024-11-20"}
        properties = {"model": model, "versionUpgradeOption": self.option}
        return HttpAnswer(200, {}, json.dumps({"properties": properties}).encode())


def test_a_deployment_is_resolved_where_there_are_credentials(tmp_path: Path) -> None:
    product = an_azure_product(tmp_path)
    environment = {"AZURE_OPENAI_RESOURCE_ID": "/subscriptions/s/accounts/a", "AZURE_MANAGEMENT_TOKEN": "t"}
    http = OneDeployment()

    (with_credentials,) = gathered(product, environment, http)
    (without,) = gathered(product, {}, http)

    assert (PinClass.PINNED, True) == (with_credentials.pin.cls, with_credentials.is_fine)
    assert (PinClass.OPAQUE, "not resolved: no credentials") == (without.pin.cls, without.resolution)
    assert ["management.azure.com"] == [request.url.split("/")[2] for request in http.asked]


def an_azure_product(folder: Path) -> Path:
    """A product whose incumbent is a deployment at Azure."""
    a_product(folder)
    edit(folder / "midshift.yaml", "vendors: [sim]", "vendors: [azure]")
    text = (folder / "midshift.yaml").read_text(encoding="utf-8")
    (folder / "midshift.yaml").write_text(f"{text}\nproviders: {{azure: {{resource: acme}}}}\n", encoding="utf-8")
    edit(folder / OLD_FILE, "provider: sim", "provider: azure")
    return folder


def gathered(product: Path, environment: dict[str, str], http: OneDeployment) -> list[ModelLine]:
    """The lines, asked of `http`."""
    target = Target(product, store="file:store.txt")
    lines, _ = asyncio.run(models.gather(target, ManualClock(), environment, http))
    return lines


@pytest.mark.parametrize(
    ("arguments", "code", "cls"),
    [
        ([PINNED, "--provider", "anthropic"], 0, {"anthropic": "pinned"}),
        ([FLOATS], 1, {"anthropic": "floating", "vertex": "floating"}),
        (["gpt-6.2-sol"], 0, {"openai": "self"}),
        (["support", "--provider", "azure"], 1, {"azure": "opaque"}),
        (["x", "--provider", "nobody"], 1, {"nobody": "unknown"}),
        (["what is this"], 1, {}),
    ],
)
def test_any_id_can_be_classified(
    arguments: list[str], code: int, cls: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a variant file is written."""
    assert code == main.run(["models", "classify", *arguments, "--json"])

    found = json.loads(capsys.readouterr().out)
    assert cls == {item["provider"]: item["class"] for item in found["classified"]}
    assert code == main.run(["models", "classify", *arguments])
    assert "not a vendor's promise" in " ".join(capsys.readouterr().out.split()) or not cls


def test_a_hostile_id_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main.run(["models", "classify", "gpt-4o\x1b[2J", "--provider", "openai"])

    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(("option", "code"), [("NoAutoUpgrade", 0), ("OnceNewDefaultVersionAvailable", 2)])
def test_what_is_opaque_is_judged_by_what_is_behind_it(option: str, code: int) -> None:
    """Of a deployment the upgrade option decides, and not the name."""
    http = OneDeployment(option)
    access = {"azure": Access("https://management.azure.com/subscriptions/s/accounts/a", "t")}
    sides = [pinning.side(role, Variant("azure", role), "azure") for role in ("incumbent", "candidate")]

    found = asyncio.run(pinning.asked(sides, access, http, ManualClock()))

    assert [code == 0] * 2 == [item.is_firm for item in found]
    if code:
        with pytest.raises(ConfigError, match="upgraded within two weeks"):
            pinning.override(found, None)
    else:
        assert pinning.override(found, None) is None


def test_an_opaque_model_without_credentials_is_refused_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is asked, and nothing is assumed."""
    product = an_azure_product(tmp_path)
    edit(product / NEW_FILE, "provider: sim", "provider: azure")
    assert 0 == run(product, "apply", "--who", "ada")

    assert 2 == start(product)
    assert "(opaque): not resolved: no credentials" in capsys.readouterr().err


@pytest.mark.parametrize("width", [80, 200])
def test_the_shutdown_date_and_the_pin_survive_a_narrow_terminal(
    width: int, product: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are what somebody looks for in this table."""
    edit(product / OLD_FILE, "claude-opus-5", "gpt-4o")
    edit(product / OLD_FILE, "provider: anthropic", "provider: openai")
    monkeypatch.setenv("COLUMNS", str(width))

    run(product, "models")

    said = capsys.readouterr().out
    table = said[: said.index("✖ openai/gpt-4o:")].splitlines()
    last = next(line for line in table if "pin to use" in line).index("pin to use")
    assert any("2027-01-14" in line for line in table)
    assert "gpt-4o-2024-11-20" in "".join(line[last:].strip() for line in table)
    assert max(map(len, table)) <= width


def test_the_refusal_of_a_waiver_does_not_call_pins_a_slice(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads it learns which words there are, and what each of them is."""
    assert 0 == start(product, "--allow-floating", "no pin in our region")
    capsys.readouterr()

    assert 2 == run(product, "upgrade", "waive", WORKLOAD, "germn", "--who", "ada", "--why", "x")

    slices, others = capsys.readouterr().err.split("), one of ")
    assert "german" in slices and "pins:canary" not in slices
    assert {"coverage", "shadow", "G7", "G8", "pins:canary"} <= set(others.split(", or drift")[0].split(", "))
