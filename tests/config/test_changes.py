"""What an apply would change, what it must not, and the one line that a sync changes."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midshift import config
from midshift.config import Bypass, Definitions, starter
from tests.config.texts import BASE, FILES, having, prompt, variant

SECOND = BASE.split("workloads:\n")[1].replace("support", "drafts").replace("old-model", "draft-model")
TO_B = {**FILES, "midshift.yaml": BASE.replace("variants/a.yaml", "variants/b.yaml")}


def words(old: dict[str, str] | None, new: dict[str, str], **serving: str) -> list[str]:
    """The changes between two sets of files."""
    before = config.parse(old) if old is not None else None
    return [str(change) for change in config.difference(before, config.parse(new), serving).changes]


def refusals(old: dict[str, str], new: dict[str, str], **serving: str) -> str:
    """What G0 says about the changes between two sets of files."""
    with pytest.raises(config.InvalidConfig) as refused:
        config.guard(config.difference(config.parse(old), config.parse(new), serving))
    return str(refused.value)


def id_of(files: dict[str, str]) -> str:
    """The incumbent's id."""
    return config.parse(files).workloads["support"].incumbent.variant.id


def test_nothing_new_is_no_change() -> None:
    """An apply that is repeated says so, whatever the comments."""
    assert [] == words(dict(FILES), {**FILES, "midshift.yaml": f"# hello\n{BASE}"})


def test_code_that_may_run_as_a_grader_is_a_change_that_is_said() -> None:
    """Whoever applies a pull request must see that it lets code run."""
    allowed = {**FILES, "midshift.yaml": f"{BASE}graders: ['shop.graders:is_polite']\n"}

    assert ["graders: shop.graders:is_polite: may run"] == words(dict(FILES), allowed)
    assert ["graders: shop.graders:is_polite: may run no more"] == words(allowed, dict(FILES))


def test_a_first_apply_names_what_will_serve() -> None:
    """There is nothing to guard yet."""
    assert [f"support: new, served by variants/a.yaml [{id_of(dict(FILES))[:12]}]"] == words(None, dict(FILES))
    config.guard(config.difference(None, config.parse(FILES)))


@pytest.mark.parametrize(
    ("new", "change"),
    [
        (having("stakes: high"), ["stakes: normal → high", "upgrade.shadow: 2w → 4w"]),
        (having("upgrade: {holds: [2d, 4d, 9d]}"), ["upgrade.holds: [2d, 4d, 1w] → [2d, 4d, 9d]"]),
        (having("budgets: {p99_latency_ms: 9000}"), ["budgets.p99_latency_ms: none → 9000.0"]),
        (having("unit: [conversation]"), ["unit: none → [conversation]"]),
        (
            {**FILES, "midshift.yaml": BASE.replace("{escalations: {}}", "{escalations: {}, b: {role: watch}}")},
            ["slices.b.role: none → watch"],
        ),
        (
            {**FILES, "midshift.yaml": BASE.replace("{escalations: {}}", "{others: {}}")},
            ["slices.escalations: {} → none", "slices.others: none → {}"],
        ),
        (
            {**FILES, "midshift.yaml": BASE.replace("variants/a.yaml", "c.yaml"), "c.yaml": FILES["variants/a.yaml"]},
            ["incumbent: variants/a.yaml → c.yaml (the same variant)"],
        ),
    ],
)
def test_a_change_is_told_in_the_words_of_the_file(new: dict[str, str], change: list[str]) -> None:
    """Whoever approves it has the file in front of them."""
    assert [f"support: {line}" for line in change] == words(dict(FILES), new)
    config.guard(config.difference(config.parse(FILES), config.parse(new)))


def test_a_removed_workload_says_whose_requests_lose_their_way() -> None:
    """The app goes on sending them."""
    both = {**FILES, "midshift.yaml": BASE + SECOND}

    assert ["drafts: removed; requests for drafts, draft-model lose their workload"] == words(both, dict(FILES))


def test_a_changed_incumbent_outside_an_upgrade_is_refused() -> None:
    """The handbook's trap: `just swap the model name` ships a regression on a Friday."""
    assert (
        "midshift.yaml:6:16: found the incumbent variants/b.yaml in place of variants/a.yaml (model old → harbour), "
        "expected an incumbent that changes through an upgrade. "
        "Type next: midshift upgrade start support --to variants/b.yaml"
    ) == refusals(dict(FILES), TO_B)


@pytest.mark.parametrize(
    ("new", "what"),
    [
        (variant("effort: low"), "effort default → low"),
        (variant("params: {temperature: 0}"), "other params"),
        (prompt("replace", "Be brief."), "prompt mode keep → replace"),
        ({**FILES, "variants/a.yaml": "provider: openai\nmodel: old\n"}, "provider sim → openai"),
    ],
)
def test_an_incumbent_that_is_edited_in_its_file_is_refused(new: dict[str, str], what: str) -> None:
    """The main file has not changed by a letter, and other answers would go out."""
    assert (
        f"midshift.yaml:6:16: found an incumbent that was edited in its file variants/a.yaml ({what}), "
        "expected an incumbent that changes through an upgrade. "
        "Type next: put it back, write the change to a new file, and: midshift upgrade start support --to NEW_FILE"
    ) == refusals(dict(FILES), new)


def test_an_edited_prompt_is_refused() -> None:
    """A prompt file that an applied variant names is never edited."""
    assert "(another prompt text)" in refusals(prompt("replace", "Be brief."), prompt("replace", "Be terse."))


def test_a_new_name_for_a_workload_does_not_get_around_it() -> None:
    """What the app sends counts: its id would come to another model."""
    renamed = {**FILES, "midshift.yaml": TO_B["midshift.yaml"].replace("support", "answers")}
    harmless = {**FILES, "midshift.yaml": BASE.replace("support", "answers")}

    assert (
        "midshift.yaml:4:13: found 'old-model', which was workload 'support', now with another incumbent, "
        "expected requests that keep their model outside of an upgrade. "
        "Type next: leave it with support, and: midshift upgrade start support --to variants/b.yaml"
    ) == refusals(dict(FILES), renamed)
    config.guard(config.difference(config.parse(FILES), config.parse(harmless)))


def test_a_claim_that_moves_does_not_get_around_it() -> None:
    """As above, between two workloads that both exist."""
    both = BASE + SECOND.replace("variants/a.yaml", "variants/b.yaml")
    moved = both.replace("[old-model]", "[another]").replace("[draft-model]", "[draft-model, old-model]")

    found = refusals({**FILES, "midshift.yaml": both}, {**FILES, "midshift.yaml": moved})

    assert "found 'old-model', which was workload 'support', now with another incumbent" in found


def test_a_file_that_follows_an_upgrade_is_not_refused() -> None:
    """After a promotion the store serves it, and `sync` wrote the line."""
    after = config.difference(config.parse(FILES), config.parse(TO_B), {"support": id_of(TO_B)})

    config.guard(after)
    assert f"support: incumbent: variants/b.yaml [{id_of(TO_B)[:12]}], as the upgrade left it" == str(after.changes[0])


def test_a_file_that_lags_behind_an_upgrade_is_told_to_sync() -> None:
    """Applying it again changes nothing that serves, and says so."""
    assert ["support: served by another variant than variants/a.yaml says: midshift sync support"] == words(
        dict(FILES), dict(FILES), support=id_of(TO_B)
    )


def test_the_guard_opens_for_a_name_and_a_reason() -> None:
    """There are nights in which somebody has to; the log says who and why."""
    found = config.difference(config.parse(FILES), config.parse(TO_B))

    config.guard(found, Bypass("ada", "the old model is down"))

    assert 1 == len(found.refused)
    for who, why in (("", "down"), ("ada", " ")):
        with pytest.raises(ValueError, match="a name and a reason"):
            Bypass(who, why)


def test_the_store_s_definitions_compare_as_the_files_do() -> None:
    """The comparison is with what was applied, which is no file any more."""
    stored = config.restored([config.content(item) for item in config.parse(FILES)])

    assert () == config.difference(stored, config.parse(FILES)).changes
    assert 1 == len(config.difference(stored, config.parse(TO_B)).refused)


def test_a_safe_harbour_that_is_edited_is_shown() -> None:
    """Not guarded, for it does not serve; but nobody should learn of it in an emergency."""
    with_harbour = having("safe_harbour: variants/b.yaml")
    edited = {**with_harbour, "variants/b.yaml": "provider: sim\nmodel: harbour\neffort: low\n"}

    (change,) = words(with_harbour, edited)

    assert change.startswith("support: safe_harbour: variants/b.yaml [")


STARTER = starter.files()["midshift.yaml"]


def test_a_sync_changes_one_line_and_nothing_else() -> None:
    """The diff of the commit is the change: comments, spaces and order are the user's."""
    changed = config.one_line_change(STARTER, "support-reply", "variants/sonnet-4.6.yaml")

    lines = [(old, new) for old, new in zip(STARTER.splitlines(), changed.splitlines(), strict=True) if old != new]
    assert [("    incumbent: variants/sonnet-3.7.yaml", "    incumbent: variants/sonnet-4.6.yaml")] == lines


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("incumbent: variants/a.yaml  # today", "incumbent: variants/n.yaml  # today"),
        ("incumbent:    variants/a.yaml   ", "incumbent:    variants/n.yaml   "),
        ("incumbent: 'variants/a.yaml'", "incumbent: 'variants/n.yaml'"),
        ('incumbent: "variants/a.yaml" # x', 'incumbent: "variants/n.yaml" # x'),
        ('incumbent: "variants\\x2fa.yaml"', 'incumbent: "variants/n.yaml"'),
        ("'incumbent': variants/a.yaml", "'incumbent': variants/n.yaml"),
        ("incumbent:\n      variants/a.yaml", "incumbent:\n      variants/n.yaml"),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_sync_keeps_quotes_comments_and_line_ends(before: str, after: str, ends: str, mark: str) -> None:
    """However it is written, it stays written like that."""
    text, expected = (mark + BASE.replace("incumbent: variants/a.yaml", line) + SECOND for line in (before, after))

    changed = config.one_line_change(text.replace("\n", ends), "support", "variants/n.yaml")

    assert expected.replace("\n", ends) == changed


def test_a_sync_finds_its_workload_in_a_mapping_on_one_line() -> None:
    """The same name in another workload is not touched."""
    text = "{version: 1, workloads: {a: {incumbent: v.yaml, claims: [x]}, b: {claims: [y], incumbent: v.yaml}}}"

    changed = config.one_line_change(text, "b", "new file.yaml")

    assert text[:-9] + '"new file.yaml"}}}' == changed


def test_a_sync_that_has_nothing_to_do_changes_nothing() -> None:
    """Twice is once."""
    assert BASE == config.one_line_change(BASE, "support", "variants/a.yaml")


@pytest.mark.parametrize(
    ("text", "workload", "path", "message"),
    [
        (BASE, "supprt", "v.yaml", "midshift.yaml:3:3: found no workload 'supprt', expected 'support'"),
        (BASE, "support", "../v.yaml\n", r"found the path '\.\./v\.yaml\\n'"),
        (
            BASE.replace("incumbent", "incumbant"),
            "support",
            "v.yaml",
            "midshift.yaml:4:5: found no incumbent in 'support'",
        ),
        (
            BASE.replace("variants/a", "&x variants/a"),
            "support",
            "v.yaml",
            "an alias, an anchor or on several",
        ),
        (BASE.replace("variants/a.yaml", ">-\n      v/a"), "support", "v.yaml", "an anchor or on several lines"),
        (
            "a: &x v.yaml\n" + BASE.replace("variants/a.yaml", "*x"),
            "support",
            "w.yaml",
            "found an incumbent written with",
        ),
        ("[", "support", "v.yaml", "broken YAML"),
    ],
)
def test_a_sync_refuses_what_it_cannot_change_alone(text: str, workload: str, path: str, message: str) -> None:
    """Half a change in a user's file is worse than none."""
    with pytest.raises(config.InvalidConfig, match=message):
        config.one_line_change(text, workload, path)


HARBOUR = "    incumbent: variants/a.yaml\n    safe_harbour: variants/h.yaml\n"


@pytest.mark.parametrize(
    "line",
    ["    safe_harbour: variants/h.yaml\n", "    safe_harbour: 'variants/h.yaml'  # on a bad day: #7\n"],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_safe_harbour_that_serves_loses_its_line_and_nothing_else(line: str, ends: str) -> None:
    """Every other byte is the user's."""
    text = BASE.replace("    incumbent: variants/a.yaml\n", HARBOUR).replace(
        "    safe_harbour: variants/h.yaml\n", line
    )

    assert BASE.replace("\n", ends) == config.without_safe_harbour(text.replace("\n", ends), "support")


@pytest.mark.parametrize(
    "text",
    [
        "{version: 1, workloads: {support: {incumbent: v.yaml, safe_harbour: h.yaml}}}",
        BASE.replace("    incumbent: variants/a.yaml\n", HARBOUR).replace("harbour: v", "harbour: &x v"),
        BASE,
    ],
    ids=["among others", "an anchor", "none"],
)
def test_a_safe_harbour_that_is_no_line_of_its_own_is_left_to_a_person(text: str) -> None:
    """An alias elsewhere may need it."""
    with pytest.raises(config.InvalidConfig, match="safe_harbour"):
        config.without_safe_harbour(text, "support")


PATHS = st.from_regex(r"[a-z0-9.~#'\"{\[&*!|>%@`é-][a-z0-9 :#'\"{}\[\],&*!|>%@`é_-]{0,12}", fullmatch=True)


@pytest.mark.slow
@given(PATHS.filter(lambda path: not path.startswith("~")))
@example("0")
@example("null")
@example("a: b")
@example('it\'s "quoted"')
def test_a_sync_writes_any_path_so_that_it_is_read_again(path: str) -> None:
    """A path with a colon, a quote or nothing but digits must not become something else."""
    changed = config.one_line_change(BASE, "support", path)

    with pytest.raises(config.InvalidConfig, match="and no such file") as refused:
        config.parse({**FILES, "midshift.yaml": changed})
    assert f"found {path!r}, and" in str(refused.value)
    assert "variants/a.yaml" in config.one_line_change(changed, "support", "variants/a.yaml")


def test_after_a_sync_the_repository_says_what_serves(tmp_path: Path) -> None:
    """The whole way: promoted, synced, applied, and nothing is refused."""
    files = starter.files()
    before = config.parse(files)
    candidate = config.variant_file(files.get, "variants/sonnet-4.6.yaml")

    files["midshift.yaml"] = config.one_line_change(files["midshift.yaml"], "support-reply", candidate.path)
    after: Definitions = config.parse(files)

    assert candidate.variant == after.workloads["support-reply"].workload.incumbent
    config.guard(config.difference(before, after, {"support-reply": candidate.variant.id}))
