"""`midshift preflight`: exit codes, what is printed and what is not, and what the user's own file does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from midshift.cli import main
from midshift.domain.capture import CapturedRequest
from midshift.reports.preflight import FORMAT
from midshift.store.recorder import SegmentWriter
from tests.cli.test_defining import NEW_FILE, WORKLOAD, a_product
from tests.cli.test_defining import run as run_in
from tests.providers import preflight_requests
from tests.providers.preflight_requests import Planted

PLAIN = "provider: anthropic\nmodel: claude-sonnet-5\n"
SECRET = "sk-ant-api03-not-a-key-and-still-nobodys-business"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a variant in it."""
    (tmp_path / "variants").mkdir()
    (tmp_path / "variants/new.yaml").write_text(PLAIN, encoding="utf-8")
    return tmp_path


def written(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    """The name of a file with these rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def run(*arguments: str) -> int:
    """The command line, in this process."""
    return main.run(["preflight", *arguments])


def judged(folder: Path, planted: Planted, *more: str) -> int:
    """The command on these requests."""
    file = written(folder / "requests.jsonl", planted.lines)
    return run("--config", str(folder), "--to", "variants/new.yaml", "--requests", file, *more)


def in_one_line(text: str) -> str:
    """What was printed, however wide the terminal is."""
    return " ".join(text.split())


def test_requests_that_would_be_refused_fail_with_what_to_paste(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == judged(folder, preflight_requests.faulty())

    said = capsys.readouterr().out
    assert "129 fatal, 71 ok" in in_one_line(said)
    params = yaml.safe_load(said[said.index("params:") :])["params"]
    assert {"drop": ["temperature", "thinking", "top_k"], "clamp": {"max_tokens": [1, 128000]}} == params


def test_what_was_pasted_is_read_back_and_only_what_no_variant_can_mend_remains(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(folder, preflight_requests.faulty())
    said = capsys.readouterr().out
    (folder / "variants/new.yaml").write_text(PLAIN + said[said.index("params:") :], encoding="utf-8")

    assert 1 == judged(folder, preflight_requests.faulty(), "--json")

    found = json.loads(capsys.readouterr().out)
    assert {"messages[-1]"} == {row["field"] for row in found["rows"] if row["outcome"] == "fatal"}
    assert found["params"] is None


def test_a_clean_set_passes_and_proposes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == judged(folder, preflight_requests.clean())

    said = capsys.readouterr().out
    assert "200 ok" in said
    assert "params" not in said


def test_the_json_form_counts_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = preflight_requests.faulty()

    assert 1 == judged(folder, planted, "--json")

    found = json.loads(capsys.readouterr().out)
    faults = dict(planted.faults)
    assert (FORMAT, 200, faults.pop("requests with a fault")) == (
        found["format"],
        found["requests"],
        found["worst"]["fatal"],
    )
    assert faults == {row["field"]: row["requests"] for row in found["rows"] if row["outcome"] == "fatal"}
    assert all(row["source"] and row["evidence"] for row in found["rows"] if row["outcome"] == "fatal")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_text_and_no_key_of_a_request_is_printed(
    form: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report goes into tickets."""
    planted = Planted()
    messages = [{"role": "user", "content": SECRET}, {"role": "assistant", "content": SECRET}]
    body = {"model": SECRET, "max_tokens": 5, "messages": messages, "system": SECRET, "stop_sequences": [SECRET]}
    planted.add("/v1/messages", {"x-api-key": SECRET}, body, [])

    judged(folder, planted, *form)

    captured = capsys.readouterr()
    assert SECRET not in captured.out + captured.err


def test_hostile_names_are_shown_and_not_obeyed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = preflight_requests.faulty(40)
    for line in planted.lines:
        line["id"] = "\x1b[2J\u202e"

    judged(folder, planted)

    assert not {"\x1b", "\u202e"} & set(capsys.readouterr().out)


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], None),
        ([{"request_id": "a", "workload": "w", "incumbent": {}}], "a gateway's record"),
        ([{"id": "x", "text": "hello"}], "a body of no known wire"),
    ],
)
def test_no_requests_is_no_success(
    rows: list[dict[str, Any]], reason: str | None, form: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty file must not let a pipeline go on."""
    planted = Planted(rows)

    assert 3 == judged(folder, planted, *form)

    assert reason is None or reason in capsys.readouterr().out


def test_the_candidate_of_a_workload_is_that_of_its_open_upgrade(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    product = a_product(tmp_path)
    file = written(tmp_path / "requests.jsonl", preflight_requests.chat(20).lines)
    asked = ["preflight", WORKLOAD, "--requests", file, "--json"]

    run_in(product, "apply", "--who", "ada")
    assert 2 == run_in(product, *asked)
    assert "has no open upgrade" in capsys.readouterr().err
    run_in(product, "upgrade", "start", WORKLOAD, "--to", NEW_FILE, "--who", "ada")
    capsys.readouterr()

    assert 0 == run_in(product, *asked)
    found = json.loads(capsys.readouterr().out)
    assert ("sim", "sonnet-4.6") == (found["provider"], found["model"])
    assert {"temperature"} == {row["field"] for row in found["rows"] if row["outcome"] == "dropped"}


def test_a_provider_of_one_s_own_has_the_rules_of_its_vendor(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`eu-claude` is a name that only this product knows."""
    main_file = a_product(folder) / "midshift.yaml"
    defined = "\nproviders:\n  eu-claude: {vendor: anthropic, key: env:KEY}\n"
    main_file.write_text(main_file.read_text(encoding="utf-8") + defined, encoding="utf-8")
    (folder / "variants/new.yaml").write_text(PLAIN.replace("anthropic", "eu-claude"), encoding="utf-8")

    assert 1 == judged(folder, preflight_requests.faulty())

    assert "eu-claude/claude-sonnet-5" in capsys.readouterr().out


def test_what_is_not_known_is_neither_ok_nor_a_failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "variants/new.yaml").write_text("provider: together\nmodel: nobody/knows\n", encoding="utf-8")

    assert 0 == judged(folder, preflight_requests.chat())

    said = in_one_line(capsys.readouterr().out)
    assert "200 unknown" in said
    assert "200 of 200 requests hold what is not known" in said


def test_the_user_s_own_word_goes_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = {
        "rules": [{"model": "^claude-sonnet-5$", "facts": {"stop": False}, "source": "our ticket 12"}],
        "fields": [{"field": "metadata"}],
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")

    assert 1 == judged(folder, preflight_requests.clean(), "--overrides", str(folder / "own.yaml"), "--json")

    rows = {row["field"]: row for row in json.loads(capsys.readouterr().out)["rows"] if row["outcome"] == "fatal"}
    assert ["stop_sequences"] == list(rows)
    assert rows["stop_sequences"]["source"].endswith("own.yaml: our ticket 12")
    assert "U" == rows["stop_sequences"]["evidence"]


@pytest.mark.parametrize(
    "text", ["{", "rule: []", "rules: 3", "rules: [{facts: {imagse: true}}]", "fields: [{}]", "- 1"]
)
def test_a_broken_file_of_one_s_own_is_refused_by_name(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "own.yaml").write_text(text, encoding="utf-8")

    assert 2 == judged(folder, preflight_requests.clean(1), "--overrides", str(folder / "own.yaml"))

    assert "own.yaml" in capsys.readouterr().err


def test_an_empty_file_of_one_s_own_says_nothing(folder: Path) -> None:
    (folder / "own.yaml").write_text("# later\n", encoding="utf-8")

    assert 0 == judged(folder, preflight_requests.clean(1), "--overrides", str(folder / "own.yaml"))


def test_the_next_api_version_can_be_tried_before_the_client_is_bumped(folder: Path) -> None:
    """A routine upgrade of a client's package changes the version for every request at once."""
    (folder / "variants/new.yaml").write_text("provider: anthropic\nmodel: claude-sonnet-4-6\n", encoding="utf-8")
    planted = preflight_requests.clean(1)
    planted.lines[0]["body"]["temperature"] = 0.2

    assert [0, 1] == [
        judged(folder, planted, "--api-version", version, "--json") for version in ("2023-06-01", "2026-10-21")
    ]


def test_refusals_become_rules_that_find_the_next_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "metadata: Extra inputs are not permitted"},
    }
    request = {"path": "/v1/messages", "body": {"model": "claude-sonnet-5", "messages": []}}
    rows = [{"request": request, "status": 400, "error": error}, {"request": request, "status": 529, "error": {}}]

    assert 0 == run("--learn", written(folder / "refusals.jsonl", rows))

    said = capsys.readouterr().out
    assert "1 of them not understood" in said
    (folder / "own.yaml").write_text(said, encoding="utf-8")
    planted = preflight_requests.clean(5)
    planted.lines[3]["body"]["metadata"] = {"user_id": "u-1"}
    assert 1 == judged(folder, planted, "--overrides", str(folder / "own.yaml"))
    assert "metadata" in capsys.readouterr().out


def test_refusals_that_teach_nothing_are_no_data(folder: Path) -> None:
    assert 3 == run("--learn", written(folder / "refusals.jsonl", []))


def test_a_model_is_shown_with_the_source_of_every_fact(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run("--show", "claude-sonnet-5", "--json")

    found = json.loads(capsys.readouterr().out)
    assert ("anthropic", "claude-sonnet-5") == (found["provider"], found["model"])
    assert "default_only" == found["facts"]["sampling"]["value"]
    assert found["facts"]["thinking_bound_to_model"] is None
    assert all(fact["source"] and fact["as_of"] for fact in found["facts"].values() if fact is not None)


def test_a_model_is_shown_to_people_with_what_is_not_known(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run("--show", "openai/gpt-6.1-sol")

    said = capsys.readouterr().out
    assert "chat_tools" in said
    assert "not known:" in said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "one of --requests, --learn and --show"),
        (["--show", "a", "--learn", "b"], "--learn and --show"),
        (["--requests", "requests.jsonl"], "neither a workload nor --to"),
        (["--show", "no-such-model"], "PROVIDER/no-such-model"),
        (["--to", "variants/new.yaml", "--requests", "variants"], "found no captured requests"),
        (["--to", "variants/new.yaml", "--requests", "no.jsonl"], "no.jsonl"),
        (["--to", "variants/no.yaml", "--requests", "requests.jsonl"], "variants/no.yaml"),
    ],
)
def test_what_cannot_be_is_said_with_the_next_step(
    arguments: list[str], expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(folder / "requests.jsonl", preflight_requests.clean(1).lines)

    here = {"requests.jsonl", "no.jsonl", "variants"}
    assert 2 == run("--config", str(folder), *(str(folder / name) if name in here else name for name in arguments))

    assert expected in capsys.readouterr().err


def captured(folder: Path) -> Path:
    """A state folder with a captured request of each of two workloads; those of `assist` would be refused."""
    at = datetime(2026, 11, 1, tzinfo=UTC)
    plain = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi."}]}
    with SegmentWriter(folder / "state", "g1") as writer:
        for name, body in ((WORKLOAD, plain), ("assist", {**plain, "temperature": 0.5})):
            writer.record_request(CapturedRequest(f"req_{name}", name, "anthropic", "/v1/messages", body, at))
    return folder / "state"


@pytest.mark.parametrize(("named", "code", "requests"), [([WORKLOAD], 0, 1), (["assist"], 1, 1), ([], 1, 2)])
def test_what_gateways_captured_is_judged_by_workload(
    named: list[str], code: int, requests: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A record holds the requests of every workload, and the candidate is one workload's."""
    state = captured(folder)
    arguments = [*named, "--config", str(folder), "--to", "variants/new.yaml", "--json", "--requests"]

    assert code == run(*arguments, str(state))
    whole = json.loads(capsys.readouterr().out)
    assert code == run(*arguments, "record", "--state", str(state))

    assert whole == json.loads(capsys.readouterr().out)
    assert requests == whole["requests"]


def test_a_torn_line_of_a_record_is_no_request(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = captured(folder)
    (segment,) = (state / "requests-v1").iterdir()
    segment.write_bytes(segment.read_bytes() + b'{"id": "req_torn", "workl')

    run("--config", str(folder), "--to", "variants/new.yaml", "--json", "--requests", str(state))

    found = json.loads(capsys.readouterr().out)
    assert (2, []) == (found["requests"], found["left_out"])


def test_a_report_on_captured_requests_says_that_they_are_a_share(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--config", str(folder), "--to", "variants/new.yaml", "--requests", str(captured(folder)))

    assert "# captured requests of all workloads (name one, to have its own alone)" in capsys.readouterr().out
