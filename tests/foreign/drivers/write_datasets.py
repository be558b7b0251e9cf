"""Writes datasets into the working directory with a vendor's own classes and serialisers: no key, no network.

python write_datasets.py langfuse|langsmith|braintrust|openai
"""

import json
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}]
ANSWER = {"role": "assistant", "content": "Paris"}
TOOLS = [{"type": "function", "function": {"name": "look"}}]


def langfuse() -> None:
    """An item and an archived one: a page of the API, and lines in the names of the SDK."""
    from langfuse._utils.serializer import EventSerializer  # type: ignore[import-not-found]
    from langfuse.api import DatasetItem  # type: ignore[import-not-found]
    from langfuse.api.dataset_items.types import PaginatedDatasetItems  # type: ignore[import-not-found]
    from langfuse.api.utils.pagination.types import MetaResponse  # type: ignore[import-not-found]

    common = {"dataset_id": "d", "dataset_name": "capitals", "created_at": NOW, "updated_at": NOW, "version": NOW}
    items = [
        DatasetItem(
            id=name,
            status=status,
            input={"messages": CHAT, "tools": TOOLS, "picture": "@@@langfuseMedia:type=image/png|id=m|source=bytes@@@"},
            expected_output=ANSWER,
            metadata={"slice": "geo"},
            source_trace_id="t-9",
            media_references=[],
            **common,
        )
        for name, status in (("l1", "ACTIVE"), ("l2", "ARCHIVED"))
    ]
    page = PaginatedDatasetItems(data=items, meta=MetaResponse(page=1, limit=50, total_items=2, total_pages=1))
    write("page.json", page.json())
    write("items.jsonl", *(json.dumps(item, cls=EventSerializer) for item in items))


def langsmith() -> None:
    """Examples of each kind: a chat, LangChain's messages, and keys and values."""
    from langsmith.schemas import Example  # type: ignore[import-not-found]

    human, ai = {"type": "human", "data": {"content": "Capital of France?"}}, {"type": "ai", "data": ANSWER}
    kinds: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"messages": CHAT, "tools": TOOLS}, {"message": ANSWER}),
        ({"input": [human]}, {"output": ai}),
        ({"question": "Capital of France?", "hint": "P"}, {"answer": "Paris"}),
    ]
    examples = [
        Example(
            id=UUID(int=number),
            dataset_id=UUID(int=9),
            created_at=NOW,
            modified_at=NOW,
            inputs=inputs,
            outputs=outputs,
            metadata={"slice": "geo", "dataset_split": ["base"]},
            source_run_id=UUID(int=8),
        )
        for number, (inputs, outputs) in enumerate(kinds, start=1)
    ]
    write("examples.jsonl", *(example.model_dump_json() for example in examples))
    write("examples.json", json.dumps([json.loads(example.model_dump_json()) for example in examples], indent=2))


class Braintrust(BaseHTTPRequestHandler):
    """Keeps the rows that the SDK sends, and gives them back as its API does."""

    rows: dict[str, dict[str, Any]] = {}

    def answer(self) -> None:
        """Whatever is asked for."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        root = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
        said: dict[str, Any] = {"id": "d", "name": "D", "project_id": "p", "org_id": "o", "signedUrl": root}
        said |= {"headers": {}, "project": {"id": "p", "name": "P"}, "experiment": {"id": "e", "name": "E"}}
        if self.path.startswith("/api/apikey/login"):
            said = {"org_info": [{"id": "o", "name": "o", "api_url": root, "proxy_url": root, "git_metadata": None}]}
        elif self.path == "/logs3":
            for row in json.loads(body)["rows"]:
                self.rows.setdefault(row["id"], {}).update(row)  # `_is_merge`: more of a row that is there
        elif "/fetch" in self.path:
            kind = "dataset_id" if "/dataset/" in self.path else "experiment_id"
            said = {
                "events": [{**row, "_xact_id": "1000"} for row in self.rows.values() if kind in row],
                "cursor": None,
            }
        held = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(held)))
        self.end_headers()
        self.wfile.write(held)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *args: Any) -> None:
        """Nothing."""


def braintrust() -> None:
    """A dataset and an experiment, as the SDK sends them to its API and reads them again."""
    import braintrust as bt  # type: ignore[import-not-found]
    from braintrust.bt_json import bt_dumps  # type: ignore[import-not-found]

    server = ThreadingHTTPServer(("127.0.0.1", 0), Braintrust)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = {"app_url": f"http://127.0.0.1:{server.server_port}", "api_key": "k"}
    dataset = bt.init_dataset("P", "D", **where)
    picture = bt.Attachment(data=b"x", filename="p.png", content_type="image/png")
    asked = {"question": "Capital of France?", "picture": picture}
    dataset.insert(id="b1", input=asked, expected="Paris", metadata={"slice": "geo"}, tags=["gold"])
    dataset.flush()
    experiment = bt.init("P", experiment="E", set_current=False, **where)
    whole = experiment.start_span(name="eval", input=CHAT, expected=ANSWER, metadata={"slice": "geo"})
    whole.start_span(name="step", input="a step of it", output="x").end()
    whole.log(output="Paris", scores={"exact": 1})
    whole.end()
    experiment.flush()
    write("dataset.jsonl", *(bt_dumps(row) for row in dataset))
    write("experiment.json", bt_dumps({"events": list(experiment), "cursor": None}))
    server.shutdown()


def openai() -> None:
    """A page of output items of a run of hosted evals."""
    from openai.pagination import SyncCursorPage  # type: ignore[import-not-found]
    from openai.types.evals.runs import OutputItemListResponse  # type: ignore[import-not-found]

    item = {
        "id": "outputitem_1",
        "object": "eval.run.output_item",
        "created_at": 1,
        "eval_id": "eval_1",
        "run_id": "evalrun_1",
        "status": "pass",
        "datasource_item_id": 3,
        "datasource_item": {"country": "France", "ground_truth": "Paris", "topic": "geo"},
        "results": [{"name": "match", "passed": True, "score": 1.0, "sample": None}],
        "sample": {
            "input": CHAT,
            "output": [ANSWER],
            "model": "m",
            "error": None,
            "finish_reason": "stop",
            "max_completion_tokens": 9,
            "seed": 1,
            "temperature": 1.0,
            "top_p": 1.0,
            "usage": {"cached_tokens": 0, "completion_tokens": 1, "prompt_tokens": 9, "total_tokens": 10},
        },
    }
    built = OutputItemListResponse.construct(**item)
    page = SyncCursorPage[OutputItemListResponse].construct(data=[item, {**item, "id": "again"}], has_more=False)
    write("items.jsonl", built.model_dump_json())
    write("page.json", page.model_dump_json())


def write(name: str, *lines: str) -> None:
    """A file in the working directory."""
    Path(name).write_text("".join(line + "\n" for line in lines))


if __name__ == "__main__":
    {"langfuse": langfuse, "langsmith": langsmith, "braintrust": braintrust, "openai": openai}[sys.argv[1]]()
