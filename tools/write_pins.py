"""Write docs/reference/pins.md from the rules of pins and the lists of ids that they are held to.

`--check` writes nothing and fails where the file differs.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from midshift.providers import catalogue, pins
from midshift.providers.pins import Evidence, PinClass, Rule

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "reference" / "pins.md"
LISTS = ROOT / "tests" / "providers" / "data"
MOST_LISTED = 60
OPENING = """# Pins: what kind of id a model's id is

Written from `src/midshift/providers/data/pins.json` by `python tools/write_pins.py`; edit the rules, not this page.

An upgrade compares two models, and both have to stay what they are until it is over. `midshift models` shows the class
of each, `midshift models classify ID` that of any id. Rules are read from top to bottom and the first that matches
wins; an id that no rule matches is `unknown`, which is treated as floating and never as pinned.

**Classified is not vendor-confirmed.** A rule reads the form of an id. The lists of ids at the end carry no labels, so
they count what is classified, not what is right; the examples beside each rule were read by a person.

"""
EVIDENCE = {
    Evidence.DOCUMENTED: "read on the vendor's page",
    Evidence.PACKAGE: "read in the vendor's package",
    Evidence.BY_DEFINITION: "true by what the word means",
    Evidence.NOT_VERIFIED: "not read at the vendor; believed",
}
LIMITS = """## Known to be wrong, or not known

- `self` at OpenAI is a guess about the future: from `gpt-5.6` on no dated id has been published, and the vendor has not
  said that these names never change. A test fails once a dated form of one is in the lists.
- `pinned` and `self` at Bedrock for models other than Claude: ids carry versions, and that a version never changes was
  not read in so many words.
- A date of 1 to 31 is accepted in any month (`-2026-02-31`), and any well-formed dated id is `pinned`, whether the
  vendor has such a model or not.
- An Azure deployment without a `versionUpgradeOption` is treated as floating. Microsoft's page equates null with an
  upgrade at retirement; setting it to `NoAutoUpgrade` settles it.
- The ids of a catalogue that are keys of prices rather than ids (Bedrock's `REGION/...`, Together's
  `together-ai-4.1b-8b`) are `unknown`, as they should be, and are counted below all the same.
"""


def main() -> int:
    """Write the page, or compare it."""
    page = OPENING + classes() + "".join(map(vendor, pins.bundled().vendors)) + counts() + LIMITS
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(page, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == page:
        return 0
    print(f"docs/reference/{TARGET.name} differs from the rules. Type next: python tools/write_pins.py")
    return 1


def classes() -> str:
    """What each class allows, and how well a rule can be known."""
    lines = ["## Classes", "", "| class | in an upgrade | |", "|---|---|---|"]
    for cls in PinClass:
        found = pins.policy(cls)
        lines.append(f"| `{cls.value}` | {'yes' if found.is_firm else 'by override'} | {found.words} |")
    lines += [
        "",
        "An override is `--allow-floating 'WHY' --who NAME`, at `midshift upgrade start` and `candidate`. It stays",
    ]
    lines += [
        "in the upgrade's record, and the upgrade goes no further than shadow, unless `pins:canary` is waived by name.",
        "",
    ]
    lines += [f"- `{name.value}`: {words}" for name, words in EVIDENCE.items()]
    return "\n".join(lines) + "\n"


def vendor(name: str) -> str:
    """The rules of one vendor, in order."""
    found = pins.bundled().vendors[name]
    also = f" Also: {', '.join(f'`{item}`' for item in found.also)}." if found.also else ""
    lines = [f"\n## {name}", "", f"{found.says[:1].upper()}{found.says[1:]}.{also}", ""]
    lines += ["| rule | class | form | for example | not | known how |", "|---|---|---|---|---|---|"]
    lines += [row(rule) for rule in found.rules]
    if found.stands_for:
        pairs = ", ".join(f"`{alias}` is `{pin}`" for alias, pin in found.stands_for.items())
        lines += ["", f"Aliases that the vendor documents: {pairs}."]
    return "\n".join(lines) + "\n"


def row(rule: Rule) -> str:
    """One rule; what it hands on stands in place of a class."""
    cls = f"`{rule.cls.value}`" if rule.cls is not None else f"as at {rule.as_}"
    examples, others = (", ".join(f"`{cell(item)}`" for item in items) for items in (rule.matches, rule.not_))
    known = f"{rule.evidence.value.replace('_', ' ')}: {rule.source}"
    return f"| {rule.name}: {rule.why} | {cls} | `{cell(rule.regex)}` | {examples} | {others} | {known} |"


def cell(text: str) -> str:
    """A text in a cell of a table."""
    return text.replace("|", "\\|")


def counts() -> str:
    """How many ids of each list have which class, and the ids that no rule knows."""
    lines = ["\n## Held to the lists that vendors ship", ""]
    lines += [
        "| list | ids | " + " | ".join(cls.value for cls in PinClass) + " |",
        "|---|---|" + "---|" * len(PinClass),
    ]
    unknown: list[str] = []
    for title, name, models in lists():
        found = {model: pins.classify(name, model).cls for model in models}
        count = Counter(found.values())
        lines.append(f"| {title} | {len(found)} | " + " | ".join(str(count[cls] or "") for cls in PinClass) + " |")
        missed = [model for model, cls in found.items() if cls is PinClass.UNKNOWN]
        if missed:
            more = f" and {len(missed) - MOST_LISTED} more" if len(missed) > MOST_LISTED else ""
            unknown.append(f"- {title}: {', '.join(f'`{model}`' for model in missed[:MOST_LISTED])}{more}")
    return "\n".join([*lines, "", "No rule knows:", "", *unknown, "", ""])


def lists() -> Iterator[tuple[str, str, list[str]]]:
    """Each list with its title and the vendor whose rules hold."""
    for path in sorted(LISTS.glob("*.txt")):
        first, *rest = path.read_text(encoding="utf-8").splitlines()
        title = first.removeprefix("# The ids of models that the package ").partition(" names")[0]
        yield f"package {title}", path.stem, [line for line in rest if line and not line.startswith("#")]
    known = catalogue.bundled()
    for provider in sorted({entry.provider for entry in known}):
        title = f"bundled catalogue of {known.taken_on}, {provider}"
        yield title, provider, [entry.model for entry in known if entry.provider == provider]


if __name__ == "__main__":
    sys.exit(main())
