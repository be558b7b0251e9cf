"""What an eval costs the machine that runs it: CPU a case, memory, the ledger's writes, and a resume; beside peers.

    python bench/bench_eval.py [--cases 2000] [--ledger 100000] [--inspect PYTHON] [--deepeval PYTHON] [--promptfoo BIN]

A case is one call to each of two variants over HTTP, to a mock in another process, written down before and after, and
graded by four graders. Peers run as many calls on the mock that they bring themselves, in their own process and
without HTTP: what is measured is the machinery around a call, and theirs is spared the network. CPU is that of the
process and its children, from start to end, imports included. Peers are named by the Python or the program of an
environment of their own; without one they are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from midshift.config.starter import files
from midshift.domain.paid_call import CallKey, Ending, Intent, Result, Settled
from midshift.domain.usage import Usage
from midshift.store.ledger import Ledger

MOST_CPU_MS, MOST_RSS_MB, MOST_WRITE_MS, MOST_RESUME_S = 2.0, 80.0, 0.1, 5.0
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_GRADERS = [{"type": "contains", "value": word, "name": f"says_{word}"} for word in ("parcel", "you", "we", "sorry")]

_OURS = """
import os, resource, sys
from pathlib import Path
from midshift.cli import eval as command
from midshift.cli.project import Target
loaded, rss, cpu = [], [], []
own = command._judged
def judged(*arguments):
    loaded.extend(name for name in ("numpy", "scipy") if name in sys.modules)
    rss.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    cpu.append(sum(os.times()[:2]))
    return 0
command._judged = judged
began = []
buy = command._bought
def bought(*arguments):
    began.append(sum(os.times()[:2]))
    return buy(*arguments)
command._bought = bought
product = Path(sys.argv[1])
options = command.Options(product / "state", to=("variants/sonnet-4.6.yaml",), concurrency=32)
command.run(Target(product), "support-reply", options)
import json
print(json.dumps({"rss_mb": rss[0], "cpu_s": cpu[0] - began[0], "start_s": began[0], "loaded": loaded}))
"""

_INSPECT = """
import sys
from inspect_ai import Task, eval as run
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate
def said():
    output = ModelOutput.from_content("mockllm/model", "a")
    output.usage = ModelUsage(input_tokens=5, output_tokens=1, total_tokens=6)
    return output
calls = int(sys.argv[1])
cases = MemoryDataset([Sample(input=f"Where is parcel {n}?", target="a", id=n) for n in range(calls)])
model = get_model("mockllm/model", custom_outputs=[said() for _ in range(calls)])
(log,) = run(Task(dataset=cases, solver=generate(), scorer=includes()), model=model, log_dir=sys.argv[2],
    max_samples=32, max_connections=32, display="none")
assert log.status == "success", log.error
"""

_DEEPEVAL = """
import sys
from deepeval import evaluate
from deepeval.evaluate.configs import AsyncConfig, CacheConfig, DisplayConfig
from deepeval.metrics import BaseMetric
from deepeval.test_case import LLMTestCase
class Contains(BaseMetric):
    threshold = 0.5
    def measure(self, case, *arguments, **options):
        self.score = float("a" in case.actual_output); self.success = True; return self.score
    async def a_measure(self, case, *arguments, **options):
        return self.measure(case)
    def is_successful(self):
        return self.success
    @property
    def __name__(self):
        return "contains"
cases = [LLMTestCase(input=f"Where is parcel {n}?", actual_output="a") for n in range(int(sys.argv[1]))]
evaluate(cases, [Contains()], async_config=AsyncConfig(max_concurrent=32), cache_config=CacheConfig(write_cache=False),
    display_config=DisplayConfig(show_indicator=False, print_results=False))
"""


def main() -> int:
    """Measure and print; 1 if a target is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--ledger", type=int, default=100_000)
    for peer in ("inspect", "deepeval", "promptfoo"):
        parser.add_argument(f"--{peer}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        missed = [*_eval(Path(folder), options), *_ledger(Path(folder), options.ledger)]
    for words in missed:
        print(f"MISSED: {words}")
    return 1 if missed else 0


def _eval(folder: Path, options: argparse.Namespace) -> list[str]:
    product = _product(folder / "product", options.cases)
    command = [sys.executable, "-m", "midshift.testing.provider_server", "scripted", "--until-eof", "--latency-scale=0"]
    voices = [f"--voice={model}=sim/sonnet-3.7" for model in ("sonnet-3.7", "sonnet-4.6")]
    with subprocess.Popen([*command, *voices], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as provider:
        assert provider.stdout is not None
        url = json.loads(provider.stdout.readline())["url"]
        took_s, cpu_s, out = _run([sys.executable, "-c", _OURS, str(product)], MIDSHIFT_PROVIDER_SIM_URL=url)
        provider.kill()
    found = json.loads(out.splitlines()[-1])
    per_case, calls = 1000 * found["cpu_s"] / options.cases, 2 * options.cases
    print(f"midshift: {options.cases:,} cases, {calls:,} calls over HTTP, each twice in the ledger: {took_s:.1f} s")
    print(f"  CPU {per_case:.2f} ms a case ({per_case / 2:.2f} a call) after a start of {found['start_s']:.2f} s")
    print(f"  RSS {found['rss_mb']:.0f} MB when all is bought; loaded by then: {found['loaded'] or 'no numerics'}")
    for peer, made in _peers(folder, options, calls):
        ratio = f"{made[1] / cpu_s:.1f} × ours ({cpu_s:.1f} s)"
        print(f"{peer}: the same number of calls, {made[0]:.1f} s, CPU {made[1]:.1f} s: {ratio}")
    return [
        *([f"{per_case:.2f} ms CPU a case, at most {MOST_CPU_MS}"] if per_case > MOST_CPU_MS else []),
        *([f"{found['rss_mb']:.0f} MB RSS, at most {MOST_RSS_MB:.0f}"] if found["rss_mb"] > MOST_RSS_MB else []),
        *([f"loaded before the verdict: {found['loaded']}"] if "scipy" in found["loaded"] else []),
    ]


def _peers(folder: Path, options: argparse.Namespace, calls: int) -> list[tuple[str, tuple[float, float]]]:
    found = []
    if options.inspect:
        found.append(("Inspect", _run([options.inspect, "-c", _INSPECT, str(calls), str(folder / "logs")])[:2]))
    if options.deepeval:
        quiet = {"DEEPEVAL_TELEMETRY_OPT_OUT": "YES"}
        found.append(("DeepEval", _run([options.deepeval, "-c", _DEEPEVAL, str(calls)], **quiet)[:2]))
    if options.promptfoo:
        tests = [{"vars": {"n": number}, "assert": [{"type": "contains", "value": "a"}]} for number in range(calls)]
        asked = {"prompts": ["Where is parcel {{n}}?"], "providers": ["echo"], "tests": tests}
        (folder / "promptfoo.json").write_text(json.dumps(asked), encoding="utf-8")
        command = [options.promptfoo, "eval", "-c", str(folder / "promptfoo.json"), "-j", "32", "--no-cache"]
        quiet = {
            "PROMPTFOO_DISABLE_TELEMETRY": "1",
            "PROMPTFOO_DISABLE_UPDATE": "1",
            "PROMPTFOO_CONFIG_DIR": str(folder / "promptfoo"),
        }
        found.append(("promptfoo", _run([*command, "--no-progress-bar", "--no-table"], **quiet)[:2]))
    return found


def _ledger(folder: Path, calls: int) -> list[str]:
    """Write and read a ledger of so many calls, as an eval does that is resumed when it is finished."""
    path, keys = folder / "calls.sqlite", [CallKey("v" * 64, f"{number:064x}") for number in range(calls)]
    used = Usage(400, 120, reasoning_out=10)
    result = Result(Ending.ANSWERED, _AT, 200, "x" * 500, usage=used, latency_s=1.0, cost_usd=0.001, request_id="r")
    with Ledger(path) as ledger:
        before_s = _cpu_s()
        for begin in range(0, calls, 64):  # what is under way at once shares a commit
            part = keys[begin : begin + 64]
            _write(ledger, [Intent(key, 1, "acme", "model", _AT, Decimal("0.01")) for key in part])
            _write(ledger, [Settled(key, 1, result) for key in part])
        write_ms = 1000 * (_cpu_s() - before_s) / calls
    began_s, before_s = time.perf_counter(), _cpu_s()
    with Ledger(path) as ledger:
        known = ledger.purchases(CallKey(key.variant, key.request) for key in keys)
    resume_s, resume_cpu_s = time.perf_counter() - began_s, _cpu_s() - before_s
    assert len(known) == calls
    print(f"ledger: {write_ms:.3f} ms CPU a call for intent and result, 64 at once, on the disk")
    size = path.stat().st_size >> 20
    print(f"  {calls:,} finished calls are found again in {resume_s:.1f} s, CPU {resume_cpu_s:.1f} s; {size} MB")
    return [
        *([f"{write_ms:.3f} ms a write, at most {MOST_WRITE_MS}"] if write_ms > MOST_WRITE_MS else []),
        *([f"{resume_cpu_s:.1f} s to resume, at most {MOST_RESUME_S:.0f}"] if resume_cpu_s > MOST_RESUME_S else []),
    ]


def _write(ledger: Ledger, entries: list[Intent | Settled]) -> None:
    over = threading.Event()
    ledger.write(entries, lambda failure: over.set())
    over.wait()


def _product(folder: Path, cases: int) -> Path:
    for name, text in files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    rows = (
        {
            "id": f"t-{number}",
            "slice": ("escalations", "everyday")[number % 2],
            "messages": [{"role": "user", "content": f"Where is parcel {number}?"}],
            "graders": _GRADERS,
        }
        for number in range(cases)
    )
    (folder / "suites" / "support-reply.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _run(command: list[str], **environment: str) -> tuple[float, float, str]:
    """Wall seconds, CPU seconds of the children, and what was printed."""
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    took_s, after = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 100):  # promptfoo's code for a failed assertion
        print(done.stdout[-2000:], done.stderr[-4000:])
        done.check_returncode()
    return took_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def _cpu_s() -> float:
    return sum(os.times()[:2])


if __name__ == "__main__":
    sys.exit(main())
