"""What is odd without being wrong, and how each workload goes back."""

import pytest

from midshift import config
from midshift.config import Level, starter
from midshift.config.checks import deploys_in

STARTER = starter.files()
SUITE = "suites/support-reply.jsonl"


def remarks(**changed: str) -> list[str]:
    """What is said about the starter with other texts, but for what is green; `/` is written `__`."""
    files = {**STARTER, **{NAMES[name]: text for name, text in changed.items()}}
    return [f"{remark.level}: {remark}" for remark in config.check(config.parse(files)) if remark.level != Level.GREEN]


NAMES = {"main": "midshift.yaml", "suite": SUITE, "runbook": "docs/oncall.md"}


def main(old: str, new: str) -> str:
    """The starter's main file with one text in place of another."""
    assert old in STARTER["midshift.yaml"]
    return STARTER["midshift.yaml"].replace(old, new)


CASE = '{"id": 1, "slice": "escalations"}\n{"id": 2, "slice": ["german", "everyday"]}\n'

ODD = {
    "no suite": (
        {"main": main("    suite: suites/support-reply.jsonl\n", "")},
        "red: midshift.yaml:5:3: support-reply has no suite, and without one there is no upgrade. "
        "Type next: midshift suite build support-reply --from TRACE.jsonl",
    ),
    "a suite that is not there": (
        {"main": main(SUITE, "suites/s.jsonl")},
        "red: midshift.yaml:24:12: the suite 'suites/s.jsonl' is not there. "
        "Type next: midshift suite build support-reply --from TRACE.jsonl",
    ),
    "a suite that cannot be read": (
        {"main": main(SUITE, "variants/sonnet-3.7.yaml")},
        "red: midshift.yaml:24:12: the suite 'variants/sonnet-3.7.yaml' cannot be read: no `cases:`, a list of cases "
        "or the name of a .jsonl file. Type next: midshift suite build support-reply --from TRACE.jsonl",
    ),
    "a suite of no slices": (
        {"suite": '{"id": 1}\n{"id": 2, "slice": []}\n'},
        "red: midshift.yaml:24:12: the suite 'suites/support-reply.jsonl' has 2 cases and no slices; "
        'an average alone gates nothing. Type next: "slice": "NAME" in each case',
    ),
    "a critical slice without a case": (
        {"suite": CASE.replace("everyday", "german")},
        "red: midshift.yaml:19:17: slice 'everyday' has no case in 'suites/support-reply.jsonl'. "
        "Type next: midshift suite build support-reply --from TRACE.jsonl",
    ),
    "a watched slice without a case": (
        {"suite": CASE.replace("german", "everyday")},
        "yellow: midshift.yaml:18:15: slice 'german' has no case in 'suites/support-reply.jsonl'. "
        "Type next: midshift suite build support-reply --from TRACE.jsonl",
    ),
    "a slice of the suite that nothing falls into": (
        {"suite": CASE + '{"id": 3, "slice": "refunds"}\n'},
        "yellow: midshift.yaml:17:7: slice 'refunds' is in the suite and not here, so no request falls into it. "
        "Type next: slices: {refunds: {when: ...}}",
    ),
    "cases without a slice": (
        {"suite": CASE + '{"id": 3}\nnot json\n'},
        "yellow: midshift.yaml:24:12: 1 cases without a slice, 1 lines that are no case. "
        "Type next: midshift suite check support-reply",
    ),
    "a slice without a rule": (
        {"main": main("{when: {header: x-queue, equals: everyday}}", "{}")},
        "yellow: midshift.yaml:19:17: slice 'everyday' has no `when`; a request is in it only if the app says so in "
        "x-midshift-slice. Type next: when: {header: NAME, equals: VALUE}",
    ),
    "no unit": (
        {"main": main("    unit: [header:x-user-id, conversation]\n", "")},
        "yellow: midshift.yaml:5:3: no unit: each request is assigned by itself, and one user can meet both variants. "
        "Type next: unit: [header:x-user-id, conversation]",
    ),
    "an incumbent at a vendor that may not see the data": (
        {"main": main("vendors: [sim]", "vendors: [other]")},
        "red: midshift.yaml:35:16: variants/sonnet-3.7.yaml is at 'sim', which is not among the vendors that may see "
        "the data. Type next: vendors: [other, sim]",
    ),
    "an incumbent whose region nobody says": (
        {"main": main("vendors: [sim]", "regions: [eu]")},
        "red: midshift.yaml:35:16: variants/sonnet-3.7.yaml is at 'sim', whose region nobody says: outside of where "
        "the data may go (eu). Type next: providers: {sim: {region: eu}}   (if the contract says so)",
    ),
    "an incumbent in another region": (
        {"main": main("vendors: [sim]", "regions: [eu]") + "providers: {sim: {region: us-east-1}}\n"},
        "red: midshift.yaml:35:16: variants/sonnet-3.7.yaml is at 'sim' in 'us-east-1', outside of where the data may "
        "go (eu). Type next: regions: [eu, us-east-1]",
    ),
    "a key that goes without TLS": (
        {"main": STARTER["midshift.yaml"] + "providers: {openai: {base_url: 'http://h/v1', key: env:K}}\n"},
        "yellow: midshift.yaml:48:32: the key of provider 'openai' goes to h without TLS, readable on the way. "
        "Type next: base_url: https://h/v1",
    ),
    "no runbook": (
        {"main": main("    runbook: docs/oncall.md\n", "")},
        "red: midshift.yaml:5:3: support-reply has no runbook, so nobody is told how to go back. "
        "Type next: runbook: docs/oncall.md",
    ),
    "a runbook that is not there": (
        {"main": main("docs/oncall.md", "oncall.md")},
        "red: midshift.yaml:38:14: the runbook 'oncall.md' is not there. "
        "Type next: write it, with: midshift rollback support-reply",
    ),
    "a runbook for another workload": (
        {"runbook": "`midshift rollback support-reply-2`\n"},
        "red: midshift.yaml:38:14: the runbook 'docs/oncall.md' does not name the command. "
        "Type next: midshift rollback support-reply",
    ),
    "a runbook that deploys": (
        {"runbook": "# Rollback\n1. git revert the model and deploy\n2. `midshift rollback support-reply`\n"},
        "red: docs/oncall.md:2:1: a step of the rollback is a deploy: '1. git revert the model and deploy'. "
        "Type next: midshift rollback support-reply",
    ),
    "no gateway": (
        {"main": main('    gateways: ["http://127.0.0.1:8080"]\n', "")},
        "red: midshift.yaml:5:3: 1. deploy: no environment names a gateway, so this is a deploy of the app with "
        "sonnet-3.7. Type next: gateways: [http://HOST:PORT]",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_each_oddity_is_told_with_its_place_and_the_way_out(name: str) -> None:
    """One at a time, so that each is known to be seen."""
    changed, remark = ODD[name]

    assert [remark] == remarks(**changed)


def test_without_environments_nothing_can_be_applied() -> None:
    """It loads, so it could be taken for finished."""
    text = STARTER["midshift.yaml"].partition("environments:")[0]

    assert "yellow: midshift.yaml:1:1: no environment, so nothing can be applied" in remarks(main=text)[-1]


def test_the_way_back_has_three_steps_and_none_is_a_deploy() -> None:
    """The handbook's question to every team, answered from the files."""
    read = config.parse(STARTER)
    definition = read.workloads["support-reply"]

    steps = config.rollback_steps(definition, read.environments)

    assert [1, 2, 3] == [step.number for step in steps]
    assert ["midshift rollback support-reply", "midshift status support-reply", "midshift sync support-reply"] == [
        step.command for step in steps
    ]
    assert not any(step.is_deploy for step in steps)
    assert definition.incumbent.variant.short_id in steps[1].words


@pytest.mark.parametrize(
    ("line", "is_deploy"),
    [
        ("2. Redeploy the API.", True),
        ("2. kubectl rollout undo deployment/api", True),
        ("2. helm rollback api 7", True),
        ("2. terraform apply -auto-approve", True),
        ("2. Merge the PR that reverts the model.", True),
        ("2. Tell #support.", False),
        ("2. No deploy is needed.", False),
        ("Do not redeploy.", False),
    ],
)
def test_a_deploy_is_told_from_its_denial(line: str, is_deploy: bool) -> None:
    """A runbook that says `no deploy` is the good one."""
    runbook = (
        f"# Other things\ndeploy on Mondays\n# Bad answers\n1. `midshift rollback w`\n{line}\n# Later\ndeploy the fix\n"
    )

    assert is_deploy == bool(deploys_in(runbook, "w"))


@pytest.mark.parametrize(
    ("suite", "facts"),
    [
        ("cases: [{id: 1, slice: a}, {id: 2, slice: [a, b]}, {id: 3}]\n", (3, {"a": 2, "b": 1}, 1, "")),
        ("cases: cases.jsonl\n", (1, {"c": 1}, 0, "")),
        ("cases: other.jsonl\n", (0, {}, 0, "it names 'other.jsonl', and no such file")),
        ("cases: ../../cases.jsonl\n", (0, {}, 0, "it names '../../cases.jsonl', and no such file")),
        ("cases: [1, {slice: 2}]\n", (1, {"2": 1}, 0, "")),
        ("graders: []\n", (0, {}, 0, "no `cases:`, a list of cases or the name of a .jsonl file")),
    ],
)
def test_a_suite_may_be_yaml(suite: str, facts: tuple[int, dict[str, int], int, str]) -> None:
    """Graders stand beside the cases there, or name them."""
    files = {
        **STARTER,
        "midshift.yaml": main(SUITE, "suites/s.yaml"),
        "suites/s.yaml": suite,
        "suites/cases.jsonl": '{"id": 1, "slice": "c"}',
    }

    found = config.parse(files).workloads["support-reply"].suite

    assert found is not None
    assert facts == (found.cases, dict(found.slices), found.sliceless, found.trouble)


def test_a_suite_that_is_no_text_is_told_and_not_fatal() -> None:
    """The definitions can be used without it, as long as nothing is upgraded."""
    files: dict[str, config.Source] = {**STARTER, SUITE: config.decoded(b"\xff")}

    remarks = config.check(config.parse(files))

    assert any("cannot be read: the byte 0xff, which is not UTF-8" in remark.words for remark in remarks)


def test_a_runbook_without_the_command_has_no_steps_to_judge() -> None:
    """That it lacks the command is said elsewhere."""
    assert [] == deploys_in("deploy\n", "w")
