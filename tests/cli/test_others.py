"""`midshift upgrade shadow`: more candidates beside the upgrade's own, unseen and only there."""

from pathlib import Path

import pytest

from midshift.domain.routing import Other
from midshift.domain.upgrade import Kind
from tests.cli.test_defining import NEW_FILE, OLD_FILE, WORKLOAD, a_product, edit, run, store_of, walked

THIRD = "variants/third.yaml"


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product with one more variant file."""
    a_product(tmp_path)
    (tmp_path / THIRD).write_text((tmp_path / NEW_FILE).read_text("utf-8"), "utf-8")
    edit(tmp_path / THIRD, "sonnet-4.6", "haiku-4.5")
    assert 0 == run(tmp_path, "apply", "--who", "ada")
    return tmp_path


def also(product: Path, file: str = THIRD, *more: str) -> int:
    """Let one more variant answer unseen."""
    return run(product, "upgrade", "shadow", WORKLOAD, "--also", file, "--who", "ada", "--why", "cheaper", *more)


def test_another_candidate_answers_unseen_and_is_let_go(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By name and reason, like everything that changes a route; nobody is served by it."""
    walked(product, Kind.EVAL_CLEARED)
    with store_of(product) as store:
        before = store.route(WORKLOAD)
        assert before is not None
        assert 0 == also(product, THIRD, "--share", "25%")
        after, change = store.route(WORKLOAD), store.route_changes(WORKLOAD)[-1]
        assert after is not None
        (other,) = after.others
        assert ("haiku-4.5", 0.25) == (store.variant(other.variant).model, other.share)
        assert ("ada", "cheaper", before.epoch + 1) == (change.who, change.why, after.epoch)
        assert (before.candidate, before.share, before.shadow_share) == (
            *(after.candidate, after.share, after.shadow_share),
        )
        assert "25 % of the requests unseen" in capsys.readouterr().out

        assert 0 == also(product)
        assert (Other(other.variant, 0.1),) == getattr(store.route(WORKLOAD), "others", None)
        assert 0 == also(product, THIRD, "--share", "0%")
        assert () == getattr(store.route(WORKLOAD), "others", None)


@pytest.mark.parametrize("file", [OLD_FILE, NEW_FILE])
def test_who_is_in_the_upgrade_already_is_no_other(
    product: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two samples of one variant would be taken for one."""
    walked(product, Kind.EVAL_CLEARED)

    assert 2 == also(product, file)
    assert "Type next: --also ANOTHER_FILE" in capsys.readouterr().err


@pytest.mark.parametrize("kinds", [(), (Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED)])
def test_only_a_shadow_has_others(product: Path, kinds: tuple[Kind, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Before it nothing may be mirrored, and later the incumbent's answers are not everybody's."""
    walked(product, *kinds)

    assert 2 == also(product)
    assert "expected stage shadow" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["10", "101%", "many", "-5%"])
def test_a_share_is_one(product: Path, share: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a bill."""
    assert 2 == also(product, THIRD, f"--share={share}")
    assert "Type next: --share 10%" in capsys.readouterr().err
