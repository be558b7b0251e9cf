"""The page in a real browser: it loads without a complaint, in both schemes, on a phone and on paper."""

import html
import os
import re
import subprocess
import zlib
from pathlib import Path

import pytest

from midshift.reports.html import render
from tests.reports.test_html import HOSTILE, Page, anatomy, everything, parsed

LIGHT, DARK = "--blink-settings=preferredColorScheme=1", "--blink-settings=preferredColorScheme=0"


@pytest.mark.parametrize(("scheme", "paper"), [(LIGHT, "#fdfcfa"), (DARK, "#161718")], ids=["light", "dark"])
def test_the_page_opens_without_a_complaint_in_both_schemes(
    chromium: Path, tmp_path: Path, scheme: str, paper: str
) -> None:
    """A console error is a broken style or a blocked request: the page promises neither."""
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    page.write_text(render(everything()), encoding="utf-8")

    run = browse(chromium, page, scheme, "--window-size=1200,2400", f"--screenshot={picture}")

    assert [] == complaints(run)
    assert paper == first_pixel(picture.read_bytes())


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_text_does_nothing_in_a_browser(chromium: Path, tmp_path: Path, number: int) -> None:
    """What a parser calls text, a browser must call text too."""
    page = tmp_path / "page.html"
    page.write_text(render(everything(lambda name: f"{HOSTILE[number]} {name}")), encoding="utf-8")

    run = browse(chromium, page, "--dump-dom")

    assert [] == complaints(run)
    assert anatomy(parsed(everything())) >= anatomy(Page(run.stdout).root)


def test_the_watch_for_complaints_is_not_blind(chromium: Path, tmp_path: Path) -> None:
    """The policy blocks a script that got in, and the tests above would see it."""
    page = tmp_path / "page.html"
    page.write_text(render(everything()).replace("<main>", "<main><script>1</script>"), encoding="utf-8")

    run = browse(chromium, page, "--dump-dom")

    assert 1 == len(complaints(run))
    assert "Content Security Policy" in complaints(run)[0]


def test_a_phone_shows_the_page_without_scrolling_sideways(chromium: Path, tmp_path: Path) -> None:
    """The one who is asked to decide may be on a train, and a cut verdict is a wrong one."""
    framed = html.escape(render(everything(lambda name: f"{name}_with_a_rather_long_name_that_does_not_end")))
    measure = "document.title = this.contentDocument.documentElement.scrollWidth"
    page = tmp_path / "phone.html"
    frame = f'<iframe width="390" height="800" onload="{measure}" srcdoc="{framed}"></iframe>'
    page.write_text(f"<!DOCTYPE html><title></title>{frame}", encoding="utf-8")

    run = browse(chromium, page, "--dump-dom")

    assert ["390"] == re.findall(r"<title>(\d+)</title>", run.stdout)


def test_paper_shows_what_is_folded_away(chromium: Path, tmp_path: Path) -> None:
    """Nobody can open a fold on paper."""
    folded, opened = tmp_path / "folded.html", tmp_path / "opened.html"
    text = render(everything())
    folded.write_text(text, encoding="utf-8")
    opened.write_text(text.replace("<details>", "<details open>"), encoding="utf-8")

    sizes = []
    for page in (folded, opened):
        paper = page.with_suffix(".pdf")
        browse(chromium, page, "--no-pdf-header-footer", f"--print-to-pdf={paper}")
        sizes.append(paper.stat().st_size)

    assert sizes[0] == pytest.approx(sizes[1], rel=0.002)


def browse(chromium: Path, page: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Open a page in a browser without a head, a past or a network."""
    command = [
        str(chromium),
        "--headless",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
        "--enable-logging=stderr",
        f"--user-data-dir={page.parent / 'profile'}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium's sandbox refuses to start as root
        *arguments,
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True, timeout=120)


def complaints(run: subprocess.CompletedProcess[str]) -> list[str]:
    """What the page's console said."""
    return [line for line in run.stderr.splitlines() if "CONSOLE" in line]


def first_pixel(png: bytes) -> str:
    """The colour of the top left corner, as `#rrggbb`; a PNG's first pixel is stored as it is, whatever the filter."""
    data, at = b"", 8
    while at < len(png):
        length, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        data += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    return f"#{zlib.decompress(data)[1:4].hex()}"
