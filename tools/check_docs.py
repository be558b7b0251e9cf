"""Check that the documents still say what is true.

Contract: a relative link leads to a file and a heading that exist, a named ``make`` target exists, and fenced
Python and JSON parse. A line per problem; exit code 1 if there was any. Standard library only.
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

FENCE = re.compile(r"^( *)(`{3,}|~{3,})([\w+-]*)[^\n]*\n(.*?)^\1\2[`~]* *$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
CODE_SPAN = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?: +\"[^\"]*\")?\)")
MAKE_TARGET = re.compile(r"\bmake +(?:\w+=\S* +)*([a-z][a-z-]*)")


def main() -> int:
    """Check every document of the repository that this file lies in."""
    root = Path(__file__).resolve().parent.parent
    found = [line for document in documents(root) for line in problems(document, root)]
    for line in found:
        print(line)
    return 1 if found else 0


def documents(root: Path) -> list[Path]:
    """The Markdown files that are committed or would be."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    run = subprocess.run(listing, cwd=root, capture_output=True, text=True, check=True)
    return [root / path for path in sorted(run.stdout.split("\0")) if path and (root / path).is_file()]


def problems(document: Path, root: Path) -> Iterator[str]:
    """What is wrong in one document, as file:line, what was found, and what was expected."""
    text = document.read_text(encoding="utf-8")
    checks = (broken_links(document, text), broken_fences(text), unknown_targets(text, root / "Makefile"))
    for check in checks:
        for offset, what in check:
            yield f"{document.relative_to(root)}:{text.count(chr(10), 0, offset) + 1}: {what}"


def broken_links(document: Path, text: str) -> Iterator[tuple[int, str]]:
    """Relative links to a file, or to a heading, that is not there."""
    for link in LINK.finditer(without_code(text)):
        address = unquote(link[1])
        if re.match(r"[a-z][a-z+.-]*:", address):
            continue
        path, _, anchor = address.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists():
            yield link.start(), f"found a link to {address!r}, expected a file there"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8")):
            yield link.start(), f"found a link to {address!r}, expected a heading of that name there"


def broken_fences(text: str) -> Iterator[tuple[int, str]]:
    """Fenced Python or JSON that does not parse."""
    for fence in FENCE.finditer(text):
        indent, language, body = len(fence[1]), fence[3], fence[4]
        code = "".join(line[indent:] if line.strip() else line for line in body.splitlines(keepends=True))
        try:
            if language in ("python", "py"):
                ast.parse(code)
            elif language == "json":
                json.loads(code)
        except (SyntaxError, ValueError) as error:
            yield fence.start(), f"found {language} that does not parse ({error}), expected whole {language}"


def unknown_targets(text: str, makefile: Path) -> Iterator[tuple[int, str]]:
    """Commands that name a make target which the Makefile does not have."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile.read_text(encoding="utf-8"), re.MULTILINE))
    for code in [*FENCE.finditer(text), *CODE_SPAN.finditer(without_fences(text))]:
        for command in MAKE_TARGET.finditer(code[0]):
            if command[1] not in targets:
                yield (
                    code.start(),
                    f"found 'make {command[1]}', expected one of: {', '.join(sorted(targets))}",
                )


def anchors(text: str) -> set[str]:
    """The names that GitHub gives to the headings, and those set by hand."""
    names: set[str] = set(re.findall(r"<a (?:name|id)=\"([^\"]+)\"", text))
    for heading in HEADING.findall(without_fences(text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        again = 0
        while (unique := f"{name}-{again}" if again else name) in names:
            again += 1
        names.add(unique)
    return names


def without_fences(text: str) -> str:
    """The text with fenced code blanked out, every other character at its place."""
    return FENCE.sub(blank, text)


def without_code(text: str) -> str:
    """The text with fenced code and code spans blanked out, every other character at its place."""
    return CODE_SPAN.sub(blank, without_fences(text))


def blank(match: re.Match[str]) -> str:
    """As many characters, and the same lines."""
    return re.sub(r"[^\n]", " ", match[0])


if __name__ == "__main__":
    sys.exit(main())
