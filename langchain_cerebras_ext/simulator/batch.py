"""Files and batches: stored in memory, run in the background of the server's loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from langchain_cerebras_ext.simulator import faults
from langchain_cerebras_ext.simulator._json import (
    JsonObject,
    as_object,
    dump,
)
from langchain_cerebras_ext.simulator.engine import CHAT_PATH, Engine, Reply
from langchain_cerebras_ext.simulator.faults import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LINES_MIN = 10
LINES_MAX = 50_000
LINE_BYTES_MAX = 1_000_000
FILE_BYTES_MAX = 200 * 1024 * 1024
WINDOW_S = 86_400
PAGE_MAX = 100
_OK = 200
ENDED = frozenset({"completed", "failed", "cancelled", "expired"})
_TIMES = (
    "created_at",
    "in_progress_at",
    "expires_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)
_NAME = re.compile(r'name="([^"]*)"')
_FILENAME = re.compile(r'filename="([^"]*)"')


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One uploaded or written file."""

    id: str
    filename: str
    purpose: str
    created_at: int
    data: bytes = field(repr=False)

    def view(self) -> JsonObject:
        """Return the file as the API shows it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.data),
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
        }


@dataclass(slots=True)
class Batch:
    """One batch job."""

    id: str
    input_file_id: str
    window: str
    metadata: JsonObject | None
    status: str = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: list[JsonObject] = field(default_factory=list[JsonObject])
    times: dict[str, int] = field(default_factory=dict[str, int])
    total: int = 0
    completed: int = 0
    failed: int = 0

    def view(self) -> JsonObject:
        """Return the batch as the API shows it; times that are not set are null."""
        errors = {"object": "list", "data": self.errors} if self.errors else None
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": CHAT_PATH,
            "errors": errors,
            "input_file_id": self.input_file_id,
            "completion_window": self.window,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            **{name: self.times.get(name) for name in _TIMES},
            "request_counts": {
                "total": self.total,
                "completed": self.completed,
                "failed": self.failed,
            },
            "metadata": self.metadata,
        }


class BatchStore:
    """All files and batches of one simulator."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._files: dict[str, StoredFile] = {}
        self._batches: dict[str, Batch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------------- files

    def upload(self, raw: bytes, content_type: str) -> JsonObject:
        """Store an upload.

        Raises:
            RefusedError: It is no form, has no file, another purpose than `batch`
                (400), or is too large (413).
        """
        fields = dict(_form_fields(raw, content_type))
        if "file" not in fields:
            raise RefusedError(faults.flat(400, "form.file: property is required"))
        purpose = fields.get("purpose", ("", b""))[1].decode("utf-8", "replace")
        if purpose != "batch":
            text = f"form.purpose: {purpose!r} is not one of batch"
            raise RefusedError(faults.flat(400, text))
        filename, data = fields["file"]
        if len(data) > FILE_BYTES_MAX:
            text = f"A file may have {FILE_BYTES_MAX} bytes."
            raise RefusedError(faults.too_large(text))
        return self._store(filename or "file", purpose, data).view()

    def _store(self, filename: str, purpose: str, data: bytes) -> StoredFile:
        made = StoredFile(
            self._engine.new_id("file_"), filename, purpose, self._now(), data
        )
        self._files[made.id] = made
        return made

    def list_files(self, purpose: str | None) -> JsonObject:
        """Return all files, or those of one purpose."""
        found = [one for one in self._files.values() if purpose in (None, one.purpose)]
        return {"object": "list", "data": [one.view() for one in found]}

    def file(self, name: str) -> StoredFile:
        """Look up a file.

        Raises:
            RefusedError: There is none of this id (404).
        """
        if name not in self._files:
            raise RefusedError(faults.not_found("File", name))
        return self._files[name]

    def delete_file(self, name: str) -> JsonObject:
        """Delete a file.

        Raises:
            RefusedError: There is none of this id (404).
        """
        del self._files[self.file(name).id]
        return {"id": name, "object": "file", "deleted": True}

    # ----------------------------------------------------------------------- batches

    def create(self, body: JsonObject) -> JsonObject:
        """Create a batch and start it.

        Raises:
            RefusedError: A value is wrong (400), or the file is not there (404).
        """
        known = ("input_file_id", "endpoint", "completion_window", "metadata")
        lines = [
            f"body.{key}: property 'body.{key}' is unsupported"
            for key in body
            if key not in known
        ]
        for key, wanted in (("endpoint", CHAT_PATH), ("completion_window", "24h")):
            if body.get(key) != wanted:
                lines.append(f"body.{key}: {body.get(key)!r} is not one of {wanted}")
        if not isinstance(body.get("input_file_id"), str):
            lines.append("body.input_file_id: must be a string")
        metadata = body.get("metadata")
        if metadata is not None and as_object(metadata) is None:
            lines.append("body.metadata: must be an object")
        if lines:
            raise RefusedError(faults.flat(400, "\n".join(lines)))
        source = self.file(body["input_file_id"])
        batch = Batch(
            self._engine.new_id("batch_"), source.id, "24h", as_object(metadata)
        )
        now = self._now()
        batch.times = {"created_at": now, "expires_at": now + WINDOW_S}
        self._batches[batch.id] = batch
        task = asyncio.ensure_future(self._run(batch, source.data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return batch.view()

    def list_batches(self, query: Mapping[str, str]) -> JsonObject:
        """Return batches, newest first, after a given one and at most so many.

        Raises:
            RefusedError: The limit is no number from 1 to 100 (400).
        """
        limit = query.get("limit", "20")
        if not limit.isdigit() or not 1 <= int(limit) <= PAGE_MAX:
            text = f"query.limit: '{limit}' is out of range: 1 to {PAGE_MAX}"
            raise RefusedError(faults.flat(400, text))
        found = list(reversed(self._batches.values()))
        after = query.get("after")
        if after is not None:
            ids = [batch.id for batch in found]
            found = found[ids.index(self.batch(after).id) + 1 :]
        page = found[: int(limit)]
        return {
            "object": "list",
            "data": [batch.view() for batch in page],
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
            "has_more": len(found) > len(page),
        }

    def batch(self, name: str) -> Batch:
        """Look up a batch; one whose window has passed is expired.

        Raises:
            RefusedError: There is none of this id (404).
        """
        if name not in self._batches:
            raise RefusedError(faults.not_found("Batch", name))
        batch = self._batches[name]
        if batch.status not in ENDED and self._now() >= batch.times["expires_at"]:
            self._move(batch, "expired")
        return batch

    def cancel(self, name: str) -> JsonObject:
        """Cancel a batch; what is done stays in its output file.

        Raises:
            RefusedError: There is none of this id (404), or it has ended (400).
        """
        batch = self.batch(name)
        if batch.status in ENDED:
            text = f"Batch {name} cannot be cancelled: it is {batch.status}."
            raise RefusedError(faults.flat(400, text, param="id"))
        self._move(batch, "cancelling")
        return batch.view()

    async def close(self) -> None:
        """Stop what is running."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # ------------------------------------------------------------------------ running

    def _now(self) -> int:
        return int(self._engine.clock.time())

    def _move(self, batch: Batch, status: str) -> None:
        batch.status = status
        batch.times[f"{status}_at"] = self._now()

    async def _run(self, batch: Batch, data: bytes) -> None:
        """Check the lines, answer each, and write the two files."""
        await asyncio.sleep(0)
        lines = [line for line in data.splitlines() if line.strip()]
        batch.errors = list(_line_errors(lines))
        if batch.errors:
            self._move(batch, "failed")
            return
        batch.total = len(lines)
        if not await self._begin(batch):
            self._finish(batch, [], [])
            return
        outputs: list[bytes] = []
        errors: list[bytes] = []
        for line in lines:
            if batch.status != "in_progress":
                break
            await self._answer(batch, msgspec.json.decode(line), outputs, errors)
        self._finish(batch, outputs, errors)

    async def _begin(self, batch: Batch) -> bool:
        """Pass through the queue; say whether the batch was not cancelled there."""
        batch.status = "queued"
        await asyncio.sleep(0)
        # Looked up anew: it may have been cancelled meanwhile.
        if self._batches[batch.id].status in {*ENDED, "cancelling"}:
            return False
        self._move(batch, "in_progress")
        return True

    async def _answer(
        self, batch: Batch, line: JsonObject, outputs: list[bytes], errors: list[bytes]
    ) -> None:
        body = {**line["body"], "stream": False}
        body.pop("stream_options", None)
        try:
            reply = self._engine.scripted_failure(CHAT_PATH, body)
            reply = reply or self._engine.chat(body, {})
        except RefusedError as error:
            reply = Reply.from_fault(error.fault)
        if reply.meter is not None:
            self._engine.bill_book.open(reply.meter, None)
            reply.meter.delivered = True
            self._engine.settle(reply.meter, client_stayed=True)
        await self._engine.clock.sleep(reply.wait_s + reply.rest_s)
        entry = self._entry(line["custom_id"], reply)
        if reply.status == _OK:
            batch.completed += 1
            outputs.append(entry)
        else:
            batch.failed += 1
            errors.append(entry)

    def _entry(self, custom_id: str, reply: Reply) -> bytes:
        try:
            body: Any = json.loads(reply.body)
        except ValueError:
            body = reply.body.decode("utf-8", "replace")
        response = {
            "status_code": reply.status,
            "request_id": reply.headers.get("inference-id", ""),
            "body": body,
        }
        return dump(
            {
                "id": self._engine.new_id("batch_req_"),
                "custom_id": custom_id,
                "response": response,
                "error": None,
            }
        )

    def _finish(self, batch: Batch, outputs: list[bytes], errors: list[bytes]) -> None:
        if batch.status == "in_progress":
            self._move(batch, "finalizing")
        for name, rows in (("output", outputs), ("error", errors)):
            if rows:
                data = b"\n".join(rows) + b"\n"
                made = self._store(f"{batch.id}_{name}.jsonl", f"batch_{name}", data)
                setattr(batch, f"{name}_file_id", made.id)
        if batch.status == "finalizing":
            self._move(batch, "completed")
        elif batch.status == "cancelling":
            self._move(batch, "cancelled")


def _line_errors(lines: list[bytes]) -> Iterator[JsonObject]:
    """Yield what is wrong with an input file, with the line's number."""
    if not LINES_MIN <= len(lines) <= LINES_MAX:
        text = f"The file has {len(lines)} requests, not {LINES_MIN} to {LINES_MAX}."
        yield _line_error("invalid_request_count", text, None)
        return
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        wrong = _line_problem(line, seen)
        if wrong:
            yield _line_error(*wrong, number)


def _line_error(code: str, message: str, line: int | None) -> JsonObject:
    return {"code": code, "message": message, "param": None, "line": line}


def _line_problem(line: bytes, seen: set[str]) -> tuple[str, str] | None:
    if len(line) > LINE_BYTES_MAX:
        return "line_too_long", f"The line has more than {LINE_BYTES_MAX} bytes."
    try:
        entry = as_object(msgspec.json.decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError):
        entry = None
    if entry is None:
        return "invalid_json_line", "The line is no JSON object."
    name = entry.get("custom_id")
    if not isinstance(name, str) or not name:
        return "missing_custom_id", "custom_id must be a string."
    if name in seen:
        return "duplicate_custom_id", f"custom_id '{name}' is there twice."
    seen.add(name)
    if entry.get("method") != "POST" or entry.get("url") != CHAT_PATH:
        return "invalid_url", f"method and url must be POST and {CHAT_PATH}."
    if as_object(entry.get("body")) is None:
        return "invalid_body", "body must be an object."
    return None


def _form_fields(
    raw: bytes, content_type: str
) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Yield the fields of a multipart form: name, then file name and content.

    Raises:
        RefusedError: The body is no such form.
    """
    found = re.search(r'boundary="?([^";,]+)"?', content_type)
    if not content_type.lower().startswith("multipart/form-data") or found is None:
        text = "Uploads must be multipart/form-data."
        raise RefusedError(faults.flat(400, text, param="content-type"))
    mark = b"--" + found[1].encode()
    for part in (b"\r\n" + raw).split(b"\r\n" + mark)[1:]:
        head, gap, content = part.partition(b"\r\n\r\n")
        if not gap:
            continue
        told = head.decode("utf-8", "replace")
        disposition = next(
            (
                line
                for line in told.split("\r\n")
                if line.lower().startswith("content-disposition:")
            ),
            "",
        )
        plain = disposition.replace("filename=", "filename_=", 1)
        name = re.search(r'(?<![\w])name="([^"]*)"', plain)
        filename = re.search(r'filename_="([^"]*)"', plain)
        if name:
            yield name[1], (filename[1] if filename else "", content)
