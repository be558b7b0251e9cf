"""What files mean, once they can be read."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from midshift import config
from midshift.config import Definition, Environment, SecretKind, SecretRef
from midshift.domain.plan import Approval, Halts, Plan, Step
from midshift.domain.suite import Margin, Slice, SliceRole
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.domain.workload import (
    BodyEquals,
    Budgets,
    Capture,
    Cycle,
    DataPolicy,
    HeaderEquals,
    LanguageIs,
    Redaction,
    SliceRule,
    Stakes,
    UnitKind,
    UnitSource,
    Workload,
)
from tests.config.texts import FILES, having, prompt, variant

EXAMPLE = Path(__file__).parents[2] / "examples" / "support-reply"

SONNET = Variant("anthropic", "claude-3-7-sonnet-20250219")
HAIKU_EDITS = (
    '[\n {\n  "replace": "Be friendly and thorough.",\n  "with": "Be friendly and brief."\n },\n'
    ' {\n  "append": "\\n\\nClose with: Is there anything else I can help with?"\n }\n]'
)
HAIKU = Variant("anthropic", "claude-haiku-4-5-20251001", Prompt(PromptMode.EDIT, HAIKU_EDITS))


def of(files: dict[str, str]) -> Definition:
    """The only definition of the smallest set of files."""
    return config.parse(files).workloads["support"]


def test_the_example_says_what_the_handbook_says() -> None:
    """Every field once, against the values that the domain works with."""
    read = config.load(EXAMPLE)
    support = read.workloads["support-reply"]

    expected = Workload(
        name="support-reply",
        claims=("claude-3-7-sonnet-20250219",),
        incumbent=SONNET,
        slices=(Slice("enterprise"), Slice("escalations"), Slice("german", SliceRole.WATCH)),
        cycle=Cycle.WEEKLY,
        stakes=Stakes.HIGH,
        margin=Margin(2.0),
        safe_harbour=HAIKU,
        unit=(
            UnitSource(UnitKind.HEADER, "x-user-id"),
            UnitSource(UnitKind.BODY, "metadata.user_id"),
            UnitSource(UnitKind.CONVERSATION),
        ),
        rules=(
            SliceRule("enterprise", BodyEquals("metadata.tier", "enterprise")),
            SliceRule("escalations", HeaderEquals("x-queue", "escalation")),
            SliceRule("german", LanguageIs("de")),
        ),
        budgets=Budgets(p99_latency_ms=9000.0, cost_per_call_usd=0.012),
        data=DataPolicy(("anthropic",), ("eu",), Capture(0.05, timedelta(days=14), (Redaction.EMAIL,))),
    )
    assert expected == support.workload
    steps = (Step(0.01, timedelta(2)), Step(0.05, timedelta(4)), Step(0.25, timedelta(7)), Step(1.0, timedelta()))
    assert support.plan == Plan(
        steps=steps,
        shadow=timedelta(weeks=4),
        soak=timedelta(weeks=2),
        margin=Margin(2.0),
        halts=Halts(2.0, 1.0, 0.5),
        budgets=Budgets(p99_latency_ms=9000.0, cost_per_call_usd=0.012),
        approvals=(Approval(0.25, "legal", "escalations"),),
    )
    assert ("suites/support.yaml", "docs/oncall.md") == (support.suite_path, support.runbook_path)
    assert {SONNET.id: SONNET, HAIKU.id: HAIKU} == read.variants
    gateways = ("http://gateway-1:8080", "http://gateway-2:8080")
    assert (
        Environment("production", SecretRef(SecretKind.ENV, "MIDSHIFT_DB"), gateways) == read.environments["production"]
    )


def test_the_example_s_candidate_can_be_loaded_by_itself() -> None:
    """An upgrade names a variant file that no workload names yet."""
    candidate = config.load_variant(EXAMPLE, "variants/sonnet-4-6.yaml")

    assert ("low", {"drop": ("temperature",)}) == (candidate.variant.effort, candidate.variant.parameters)
    assert (PromptMode.TEMPLATE, "prompts/support-reply.v2.md") == (
        candidate.variant.prompt.mode,
        candidate.prompt_path,
    )


def test_what_is_left_out_is_the_playbook() -> None:
    """Five lines are enough to begin, and they begin with the careful way."""
    support = of(dict(FILES))

    assert Plan.for_stakes(Stakes.NORMAL) == support.plan
    assert (Cycle.WEEKLY, (), Budgets(), DataPolicy()) == (
        support.workload.cycle,
        support.workload.unit,
        support.workload.budgets,
        support.workload.data,
    )


def test_without_a_list_of_vendors_only_the_incumbent_s_may_see_the_data() -> None:
    """Silence is not consent to another processor."""
    silent, named = of(dict(FILES)).workload, of(having("data: {vendors: [other]}")).workload

    assert [True, False] == [silent.admits("sim"), silent.admits("other")]
    assert [False, True] == [named.admits("sim"), named.admits("other")]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{}", {}),
        ("{temperature: 0.2}", {"temperature": 0.2}),
        ("{set: {temperature: 0.2}}", {"temperature": 0.2}),
        ("{temperature: 0.2, set: {top_p: 1}}", {"temperature": 0.2, "top_p": 1}),
        ("{drop: [top_p, temperature, top_p]}", {"drop": ("temperature", "top_p")}),
        ("{drop: []}", {}),
        ("{set: {drop: true}}", {"set": {"drop": True}}),
        ("{set: {clamp: true}}", {"set": {"clamp": True}}),
        (
            "{clamp: {max_tokens: [1, 800], effort: [low, high]}}",
            {"clamp": {"max_tokens": (1, 800), "effort": ("low", "high")}},
        ),
        ("{clamp: {}}", {}),
        ("{stop: ['no', 'yes'], seed: 7, user: null}", {"stop": ("no", "yes"), "seed": 7, "user": None}),
    ],
)
def test_parameters_have_one_form_however_they_are_written(written: str, meant: dict[str, object]) -> None:
    """Two files that send the same request are one variant: the second would be tested for nothing."""
    assert meant == of(variant(f"params: {written}")).incumbent.variant.parameters


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Be kind.", "Be kind."),
        ("Be kind.\n", "Be kind."),
        ("Be kind.\n\n", "Be kind.\n"),
        ("Be\r\nkind.\r\n", "Be\nkind."),
        ("\ufeffBe kind.", "Be kind."),
        ("  Be kind. ", "  Be kind. "),
    ],
)
def test_a_prompt_is_its_file_without_what_editors_and_git_add(written: str, meant: str) -> None:
    """The hash must survive a checkout on another machine, and the prompt may begin with a space."""
    assert meant == of(prompt("replace", written)).incumbent.variant.prompt.text


def test_the_id_of_a_variant_with_edits_never_changes() -> None:
    """It is stored for good; another spelling of the same edits in a later release would be another variant."""
    text = '[\n {\n  "replace": "a",\n  "with": "b"\n },\n {\n  "append": "c"\n }\n]'
    written = "- {replace: a, with: b}\n- append: c\n"

    assert text == of(prompt("edit", written)).incumbent.variant.prompt.text
    assert text == of(prompt("edit", text)).incumbent.variant.prompt.text


def test_a_definition_s_hash_is_of_what_it_says_and_not_of_where() -> None:
    """A file that moves is no change; a prompt that is edited is one, although no line of the main file differs."""
    base = of(prompt("replace", "Be kind.\n"))
    moved = of(
        {
            "midshift.yaml": FILES["midshift.yaml"].replace("variants/a.yaml", "a.yaml"),
            "a.yaml": "provider: sim\nmodel: old\nprompt: {mode: replace, file: p.txt}\n",
            "p.txt": "Be kind.",
        }
    )
    edited = of(prompt("replace", "Be kinder.\n"))

    assert base.definition_hash == moved.definition_hash
    assert base.definition_hash != edited.definition_hash
    assert 64 == len(base.definition_hash)


def test_the_hash_of_a_definition_never_changes() -> None:
    """It is in stores and logs; a field that is added later and left out must not touch it."""
    known = "47a8b85a519c456218681896e313706d885256a2739ee6cd16bf19b40f44a6d0"

    assert known == of(dict(FILES)).definition_hash


def test_header_names_and_languages_do_not_depend_on_capitals() -> None:
    """HTTP and BCP 47 say so; the gateway compares in small letters."""
    files = dict(FILES) | {
        "midshift.yaml": FILES["midshift.yaml"].replace(
            "{escalations: {}}", "{a: {when: {header: X-Queue, equals: Escalation}}, b: {when: {language: DE}}}"
        )
        + "    unit: [header:X-User-ID]\n"
    }

    workload = of(files).workload

    assert (SliceRule("a", HeaderEquals("x-queue", "Escalation")), SliceRule("b", LanguageIs("de"))) == workload.rules
    assert (UnitSource(UnitKind.HEADER, "x-user-id"),) == workload.unit


def test_two_workloads_may_share_a_variant_file() -> None:
    """One model often does two jobs; a problem in the file is then told once."""
    second = FILES["midshift.yaml"].split("workloads:\n")[1].replace("support", "drafts").replace("old-model", "other")
    files = {**FILES, "midshift.yaml": FILES["midshift.yaml"] + second}

    read = config.parse(files)
    with pytest.raises(config.InvalidConfig) as refused:
        config.parse({**files, "variants/a.yaml": "provider: sim\n"})

    assert ["drafts", "support"] == list(read.workloads)
    assert 1 == len(read.variants)
    assert 1 == len(refused.value.problems)


def test_a_content_of_another_format_is_not_guessed_at() -> None:
    """A store that a newer midshift wrote must not be read half."""
    content = config.content(of(dict(FILES))) | {"format": "midshift.definition/9"}

    with pytest.raises(config.InvalidConfig, match="found the format 'midshift.definition/9'"):
        config.restored([content])


def test_a_shutdown_date_needs_no_quotes_and_is_no_part_of_a_definition() -> None:
    """YAML has dates of its own; and a date that somebody corrects must not make a workload a changed one."""
    text = (
        f"{FILES['midshift.yaml']}retirements:\n  sim/old: 2027-01-31\n  fireworks/accounts/f/models/m: '2027-02-28'\n"
    )

    read = config.parse({**FILES, "midshift.yaml": text})

    assert {"sim/old": date(2027, 1, 31), "fireworks/accounts/f/models/m": date(2027, 2, 28)} == {
        str(name): day for name, day in read.retirements.items()
    }
    assert config.parse(FILES).workloads == read.workloads


def test_a_secret_reference_does_not_repeat_what_is_none() -> None:
    """What stands there instead is often the secret itself."""
    with pytest.raises(ValueError, match="expected a reference") as refused:
        SecretRef.parse("hunter2")

    assert "hunter2" not in str(refused.value)
    assert "env:DB" == str(SecretRef.parse("env:DB"))
