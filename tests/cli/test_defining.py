"""`midshift init`, `check`, `apply` and `sync`: from files to a store and back, and what must never pass on the way."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from midshift import config
from midshift.cli import main
from midshift.cli.project import Target, applied
from midshift.config.starter import files
from midshift.domain.upgrade import Event, Kind, Upgrade, apply, begin, route_of, settled
from midshift.store.sql import SqlStore

WORKLOAD = "support-reply"
OLD_FILE, NEW_FILE = "variants/sonnet-3.7.yaml", "variants/sonnet-4.6.yaml"
TO_DONE = (
    Kind.EVAL_CLEARED,
    Kind.SHADOW_COMPLETED,
    Kind.STEP_ADVANCED,
    Kind.STEP_ADVANCED,
    Kind.FULLY_ROLLED_OUT,
    Kind.SOAK_COMPLETED,
)


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """The starter's files, with a store beside them that `--store file:store.txt` names."""
    return a_product(tmp_path)


def a_product(folder: Path) -> Path:
    """The starter's files in `folder`, and where its store is."""
    for name, text in files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "store.txt").write_text(f"sqlite:///{folder / 'midshift.db'}\n", encoding="utf-8")
    return folder


def run(product: Path, *arguments: str) -> int:
    """One command in this process, on the product's files and store."""
    return main.run([*arguments, "--config", str(product), "--store", "file:store.txt"])


def store_of(product: Path) -> SqlStore:
    """The store that the commands write."""
    return SqlStore.open((product / "store.txt").read_text(encoding="utf-8").strip())


def edit(path: Path, old: str, new: str) -> None:
    """Exchange a piece of a file that must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def walked(product: Path, *kinds: Kind) -> Upgrade:
    """An upgrade to the starter's candidate that these things have happened to, with its routes."""
    target = Target(product, store="file:store.txt")
    definition = target.definitions().workloads[WORKLOAD]
    candidate = config.load_variant(product, NEW_FILE).variant
    with store_of(product) as store:
        store.put_variant(candidate)
        route = store.route(WORKLOAD)
        assert route is not None
        at = store.route_changes(WORKLOAD)[0].machine_at
        upgrade = begin(f"{WORKLOAD}-1", WORKLOAD, route.incumbent, candidate.id, definition.plan, at, "salt")
        store.start_upgrade(upgrade, route_of(upgrade, route.epoch + 1, None), "ada")
        for number, kind in enumerate(kinds, start=route.epoch + 2):
            event = Event(kind, upgrade.entered, "ada", "because")
            after = apply(upgrade, event)
            moved = settled(after, number) if after.stage.is_final else route_of(after, number, None)
            store.commit(upgrade, after, event, {}, "test", moved, None)
            upgrade = after
    return upgrade


def test_init_writes_files_that_check_finds_nothing_red_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first two commands of a newcomer must agree with each other."""
    assert 0 == main.run(["init", str(tmp_path / "shop")])
    assert 0 == main.run(["check", "--config", str(tmp_path / "shop")])

    out = capsys.readouterr().out
    assert "Type next:" in out
    assert "0 red" in out


def test_init_never_overwrites(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second init in a product's folder must not cost anybody their definitions."""
    (product / "midshift.yaml").write_text("mine", encoding="utf-8")
    (product / "docs" / "oncall.md").unlink()

    assert 0 == main.run(["init", str(product)])

    assert "mine" == (product / "midshift.yaml").read_text(encoding="utf-8")
    assert (product / "docs" / "oncall.md").exists()
    assert "kept   " in capsys.readouterr().out


def test_check_prints_the_three_steps_of_the_way_back(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever is called at three in the morning must have seen them before."""
    assert 0 == main.run(["check", "--config", str(product)])

    out = capsys.readouterr().out
    steps = [f"{number}. midshift {name} {WORKLOAD}" for number, name in ((1, "rollback"), (2, "status"), (3, "sync"))]
    assert [] == [step for step in steps if step not in out]


def test_check_is_red_where_the_way_back_is_a_deploy(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a gateway in the path, rolling back means deploying the app: that is found before the upgrade."""
    edit(product / "midshift.yaml", '    gateways: ["http://127.0.0.1:8080"]\n', "")

    assert 2 == main.run(["check", "--config", str(product)])

    assert "✖ 1. deploy" in capsys.readouterr().out


@pytest.mark.parametrize("form", [["--json"], ["--report", "json"]])
def test_check_says_the_same_as_json(product: Path, form: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """CI reads it: level, place and what to type for each remark."""
    (product / "suites" / f"{WORKLOAD}.jsonl").unlink()

    assert 2 == main.run(["check", "--config", str(product), *form])

    found = json.loads(capsys.readouterr().out)
    red = [remark for remark in found["remarks"] if remark["level"] == "red"]
    assert ("midshift.check/1", False, 3) == (found["format"], found["ok"], len(found["rollback"][WORKLOAD]))
    assert "midshift.yaml:24:12" == red[0]["place"]


def test_a_broken_file_is_reported_problem_by_problem(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One run must show all that has to be mended, each with its place."""
    edit(product / "midshift.yaml", "cycle: weekly", "cycle: wekly")
    edit(product / "midshift.yaml", "margin: 2pt", "margin: 2")

    assert 2 == main.run(["check", "--config", str(product)])
    err = capsys.readouterr().err
    assert 2 == main.run(["check", "--config", str(product), "--json"])

    assert [True, True] == [line.startswith("midshift: midshift.yaml:") for line in err.splitlines()]
    assert 2 == len(json.loads(capsys.readouterr().out)["problems"])


def test_apply_records_definitions_variants_and_the_first_route(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From here on the store decides: it must hold all that a flip needs."""
    assert 0 == run(product, "apply", "--who", "ada")

    with store_of(product) as store:
        (definition,) = store.definitions()
        route = store.route(WORKLOAD)
        assert route is not None
        assert ("ada", 1, "sonnet-3.7") == (definition.who, route.epoch, store.variant(route.incumbent).model)
    assert f"{WORKLOAD}: new, served by {OLD_FILE}" in capsys.readouterr().out


def test_apply_records_the_commit_of_the_files(product: Path) -> None:
    """An audit asks which text was in force; a file that was changed since its commit must not look committed."""
    identity = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=product, check=True, capture_output=True)
    run(product, "apply", "--who", "ada")
    edit(product / "midshift.yaml", "margin: 2pt", "margin: 3pt")
    with store_of(product) as store:
        clean = store.definitions()[0].git_commit
    run(product, "apply", "--who", "ada")

    with store_of(product) as store:
        assert clean is not None
        assert f"{clean}-dirty" == store.definitions()[0].git_commit


def test_apply_records_the_providers_of_its_environment(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A gateway knows the store and no file."""
    section = (
        "providers: {mistral: {region: eu}, host: {vendor: openai_compatible, base_url: 'http://vllm.example/v1'}}"
    )
    main = product / "midshift.yaml"
    text = main.read_text(encoding="utf-8") + f"{section}\n"
    other = "  staging: {store: env:S, providers: {mistral: {key: env:STAGING_KEY}, openai: {key: env:O}}}\n"
    main.write_text(text.replace("environments:\n", f"environments:\n{other}"), encoding="utf-8")

    assert 0 == run(product, "apply", "--who", "ada", "--env", "local")
    out = capsys.readouterr().out
    assert "providers: mistral: region none → eu" in out
    assert "providers: host: new, at vllm.example" in out
    assert 0 == run(product, "apply", "--who", "ada", "--env", "staging")

    out = capsys.readouterr().out
    assert "providers: mistral: key none → env:STAGING_KEY" in out
    assert "providers: openai: key none → env:O" in out
    with store_of(product) as store:
        assert ["host", "mistral", "openai"] == list(applied(store).providers)
    main.write_text(text.replace(section, ""), encoding="utf-8")
    assert 0 == run(product, "apply", "--who", "ada")
    with store_of(product) as store:
        assert {} == dict(applied(store).providers)


def test_an_incumbents_provider_changes_its_vendor_through_an_upgrade_only(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not one letter of the variant has changed, and another model would answer."""
    main = product / "midshift.yaml"
    edit(product / OLD_FILE, "provider: sim", "provider: host")
    before = main.read_text(encoding="utf-8")
    main.write_text(before + "providers: {host: {vendor: openai}}\n", encoding="utf-8")
    run(product, "apply", "--who", "ada")
    main.write_text(before + "providers: {host: {vendor: mistral}}\n", encoding="utf-8")

    assert 2 == run(product, "apply", "--who", "ada")

    assert "the incumbent's provider 'host' at the vendor 'mistral' in place of 'openai'" in capsys.readouterr().err


def test_check_names_hosts_and_where_keys_come_from_and_no_key(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether a key is there is worth knowing before the gateway starts; the key itself is nobody's business."""
    planted = "planted-" + "secret-0123456789"
    (product / "key.txt").write_text(planted, encoding="utf-8")
    path = product / "midshift.yaml"
    section = "providers: {openai: {key: file:key.txt, shadow_key: env:NO_SUCH_KEY_HERE, region: eu}}\n"
    path.write_text(path.read_text(encoding="utf-8") + section, encoding="utf-8")

    assert 0 == main.run(["check", "--config", str(product)])
    text = capsys.readouterr().out
    assert 0 == main.run(["check", "--config", str(product), "--json"])
    found = capsys.readouterr().out

    assert (
        "  openai: api.openai.com, region eu; openai_chat, openai_responses; key from file:key.txt (set here), "
        "shadow key from env:NO_SUCH_KEY_HERE (not set here)\n"
    ) in text
    assert "  sim: no address" in text
    (openai, sim) = json.loads(found)["providers"]
    assert ("api.openai.com", "file:key.txt", True) == (openai["host"], openai["key"], openai["key_is_set"])
    assert (None, None, None) == (sim["host"], sim["key"], sim["key_is_set"])
    assert planted not in text + found


def test_the_same_again_changes_nothing(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CI applies on every push."""
    run(product, "apply", "--who", "ada")
    capsys.readouterr()

    assert 0 == run(product, "apply", "--who", "bob")

    assert "nothing had changed" in capsys.readouterr().out
    with store_of(product) as store:
        assert ["ada"] == [definition.who for definition in store.definitions()]


def test_a_changed_incumbent_is_refused_with_the_upgrade_to_start(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trap of every model change: just swapping the name. Nothing may be written then."""
    run(product, "apply", "--who", "ada")
    edit(product / "midshift.yaml", OLD_FILE, NEW_FILE)
    edit(product / "midshift.yaml", "margin: 2pt", "margin: 3pt")

    assert 2 == run(product, "apply", "--who", "ada")

    assert f"midshift upgrade start {WORKLOAD} --to {NEW_FILE}" in capsys.readouterr().err
    with store_of(product) as store:
        route = store.route(WORKLOAD)
        assert route is not None
        assert ("sonnet-3.7", 1) == (store.variant(route.incumbent).model, route.epoch)
        assert "2pt" in json.dumps(store.definitions()[0].content)


def test_a_bypass_exchanges_the_incumbent_under_a_name_and_a_reason(product: Path) -> None:
    """Emergencies exist; what they did stands in the log for whoever asks later."""
    run(product, "apply", "--who", "ada")
    edit(product / "midshift.yaml", OLD_FILE, NEW_FILE)

    assert 2 == run(product, "apply", "--who", "ada", "--bypass-g0", " ")
    assert 0 == run(product, "apply", "--who", "ada", "--bypass-g0", "the vendor is down")

    with store_of(product) as store:
        change = store.route_changes(WORKLOAD)[-1]
        assert ("sonnet-4.6", 2) == (store.variant(change.route.incumbent).model, change.route.epoch)
        assert ("ada", "G0 bypassed: the vendor is down") == (change.who, change.why)


def test_a_re_apply_after_a_rollback_keeps_the_rollback(product: Path) -> None:
    """A pipeline that applies again must not bring back what on-call has just taken away."""
    run(product, "apply", "--who", "ada")
    walked(product, Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED)
    run(product, "rollback", WORKLOAD, "--wait", "0")
    with store_of(product) as store:
        before = store.route(WORKLOAD)

    assert 0 == run(product, "apply", "--who", "ada")

    with store_of(product) as store:
        assert before == store.route(WORKLOAD)
        assert before is not None
        assert before.candidate is None


def test_a_workload_that_leaves_and_comes_back_brings_no_other_model(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Removing a workload and adding it again would be a way around the guard."""
    text = (product / "midshift.yaml").read_text(encoding="utf-8")
    run(product, "apply", "--who", "ada")
    other = text.replace(f"  {WORKLOAD}:\n", "  other-work:\n").replace("[sonnet-3.7]", "[another-model]")
    (product / "midshift.yaml").write_text(other, encoding="utf-8")
    assert 0 == run(product, "apply", "--who", "ada")
    (product / "midshift.yaml").write_text(text.replace(OLD_FILE, NEW_FILE), encoding="utf-8")

    assert 4 == run(product, "apply", "--who", "ada")

    assert "an incumbent changes only through an upgrade" in capsys.readouterr().err


def test_sync_says_in_one_line_what_serves_after_a_promotion(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The repository tells the truth again, every comment stays, and the next apply is no surprise."""
    run(product, "apply", "--who", "ada")
    walked(product, *TO_DONE)
    before = (product / "midshift.yaml").read_bytes()
    capsys.readouterr()

    assert 0 == run(product, "sync", "--dry-run")
    assert before == (product / "midshift.yaml").read_bytes()
    assert 0 == run(product, "sync", WORKLOAD)

    assert before.replace(OLD_FILE.encode(), NEW_FILE.encode()) == (product / "midshift.yaml").read_bytes()
    assert f"+    incumbent: {NEW_FILE}" in capsys.readouterr().out
    assert 0 == run(product, "apply", "--who", "ada")
    assert "as the upgrade left it" in capsys.readouterr().out


def test_sync_without_the_file_of_what_serves_says_so(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The candidate's file was never committed: a guess would be a lie."""
    run(product, "apply", "--who", "ada")
    walked(product, *TO_DONE)
    (product / NEW_FILE).unlink()

    assert 2 == run(product, "sync")

    assert "served by sonnet-4.6" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--env", "prod"], "--env 'prod' is not an environment"),
        (["--store", "sqlite:///secret-place.db"], "expected a reference to a secret"),
        (["--store", "env:MIDSHIFT_NO_SUCH_VARIABLE"], "is empty"),
        (["--store", "file:nowhere.txt"], "cannot be read"),
    ],
)
def test_a_store_that_cannot_be_found_is_said_without_its_address(
    product: Path, options: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address can hold a password: messages go to logs and chats."""
    assert 2 == main.run(["apply", "--who", "ada", "--config", str(product), *options])

    err = capsys.readouterr().err
    assert expected in err
    assert "Type next:" in err
    assert "secret-place" not in err


@pytest.mark.slow
def test_the_help_is_there_at_once() -> None:
    """Whoever types --help waits for it: at most a quarter of a second of work, and no room loaded."""
    program = (
        "import sys, time, midshift.cli.main as m; m.run(['--help']); print(len(sys.modules), time.process_time())"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    modules, cpu_s = done.stdout.splitlines()[-1].split()
    assert 0.25 > float(cpu_s), f"{modules} modules"


def test_apply_names_no_step_that_would_be_refused(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While an upgrade is open, another one cannot begin."""
    assert 0 == run(product, "apply", "--who", "ada")
    before = capsys.readouterr().out
    walked(product)
    assert 0 == run(product, "apply", "--who", "ada")
    during = capsys.readouterr().out

    assert f"Type next: midshift upgrade start {WORKLOAD}" in before
    assert f"Type next: midshift upgrade status {WORKLOAD}" in during and "upgrade start" not in during


def test_apply_says_that_running_gateways_have_to_be_started_again(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A claim that is recorded and not served yet is a puzzle; where nothing changed there is nothing to start."""
    said = []
    for margin in ("2pt", "2pt", "3pt"):
        text = (product / "midshift.yaml").read_text(encoding="utf-8")
        (product / "midshift.yaml").write_text(text.replace("margin: 2pt", f"margin: {margin}"), encoding="utf-8")
        assert 0 == run(product, "apply", "--who", "ada")
        said.append("Running gateways read definitions when they start" in capsys.readouterr().out)

    assert [False, False, True] == said


READING = (
    ("status",),
    ("upgrade", "status"),
    ("upgrade", "log", WORKLOAD),
    ("rollback", WORKLOAD, "--why", "x"),
    ("halt", WORKLOAD, "--who", "ada", "--why", "x"),
    ("upgrade", "start", WORKLOAD, "--to", NEW_FILE, "--who", "ada"),
    ("upgrade", "drift", WORKLOAD),
    ("sync",),
    ("serve", "controller"),
    ("serve", "gateway", "--name", "g", "--port", "0"),
)


@pytest.mark.parametrize("command", READING, ids=" ".join)
@pytest.mark.parametrize("is_empty", [False, True])
def test_no_command_but_apply_makes_a_store(
    product: Path, command: tuple[str, ...], is_empty: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a store of a mistyped address nothing serves and nothing is known, and all of that would look well."""
    path = product / "typo.db"
    (product / "store.txt").write_text(f"sqlite:///{path}\n", encoding="utf-8")
    if is_empty:
        path.touch()

    assert 2 == run(product, *command)

    said = capsys.readouterr().err
    assert "--store file:store.txt" in said and repr(str(path)) in said and "midshift apply" in said
    assert not path.exists() or path.stat().st_size == 0
    assert [] == sorted(found.name for found in product.glob("typo.db-*"))
    assert ("--admin-port" in said and "force-incumbent" in said) == (command[0] == "rollback")


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///:memory:", "sqlite:///"])
def test_a_store_in_memory_is_refused(product: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is recorded there is gone before anybody can read it."""
    (product / "store.txt").write_text(address, encoding="utf-8")

    assert 2 == run(product, "apply", "--who", "ada")

    assert "in memory" in capsys.readouterr().err


def test_a_path_that_is_no_address_is_answered_with_the_address_to_write(
    product: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plain path is the first thing that people try; what else it is may be a secret, and is not shown."""
    monkeypatch.setenv("MIDSHIFT_DB", str(product / "midshift.db"))

    assert 2 == main.run(["apply", "--who", "ada", "--config", str(product)])

    said = capsys.readouterr().err
    assert "Type next: export MIDSHIFT_DB=sqlite:///$PWD/midshift.db" in said and str(product) not in said


def test_a_store_option_is_no_environment(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named as it was typed."""
    assert 2 == main.run(["status", "--config", str(product), "--store", "env:NOPE"])

    said = capsys.readouterr().err
    assert "--store env:NOPE is empty" in said and "environment" not in said


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["rollback", "helpdesk", "--wait"], "midshift rollback --help"),
        (["upgrade", "waive", "helpdesk", "x", "--why"], "midshift upgrade waive --help"),
        (["--nonsense"], "midshift --help"),
    ],
)
def test_an_option_without_its_value_leads_to_the_help_of_its_command(
    typed: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On call nobody reads a list of forty commands."""
    assert 2 == main.run(typed)

    assert capsys.readouterr().err.strip().endswith(f"Type next: {expected}")


def test_an_empty_main_file_is_no_dead_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`init` never writes over a file that is there, so what has to go first is named."""
    (tmp_path / "midshift.yaml").touch()

    assert 2 == main.run(["check", "--config", str(tmp_path)])

    assert "Type next: rm midshift.yaml && midshift init" in capsys.readouterr().err
