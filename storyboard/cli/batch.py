"""Batch rendering: storyboards rendered into a folder of pictures, without a project.

    OUT/01-waving-on-a-sunny-beach.png   the frames in order; of several storyboards, in OUT/group-1
    OUT/masks/01-waving-on-a-....png     their foreground masks, on request
    OUT/references/<sha256>.png          the reference pictures that the manifest's requests name
    OUT/manifest.json                    the list of frames, with their requests

Each storyboard is a job of a runner, so that storyboards and their frames spread over workers where
there are some. This module knows nothing of terminals: progress goes to a callback, and a stop
comes from one.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import UserError
from pipelines.models.catalog import find_model
from pipelines.pictures import Reference, mask_picture, png_bytes
from pipelines.request import RenderRequest
from storyboard import __version__
from storyboard.board import Storyboard, Take
from storyboard.errors import ProjectError
from storyboard.jobs.events import JobEvent, JobFailed
from storyboard.jobs.job import Job
from storyboard.jobs.runner import Runner
from storyboard.storage.files import DocumentKind, file_stem, write_result
from storyboard.storage.own_pictures import own_texts
from storyboard.storage.reference_store import ReferenceStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

MANIFEST_FILE = DocumentKind("throughline manifest")
# Seconds without an event after which a stop is checked for.
_PATIENCE = 0.2


def render_batch(
    boards: Sequence[Storyboard],
    out: Path,
    runner: Runner,
    report: Callable[[int, JobEvent], None],
    stopped: Callable[[], bool],
    *,
    save_masks: bool = False,
    share_all: bool = False,
    reference: Reference | None = None,
) -> bool:
    """Render storyboards into a folder, and write the manifest after every frame.

    Args:
        boards: the storyboards; their frames have no takes.
        out: the folder; made where it does not exist.
        runner: runs the jobs.
        report: called with every event and the number of its storyboard, counted from 0.
        stopped: called again and again; True ends the render, and keeps the rendered frames.
        save_masks: whether foreground masks are written too.
        share_all: whether every frame keeps the background of its storyboard's first, whatever
            the frames say.
        reference: the reference picture that the storyboards name, if any.

    Returns:
        True if all frames were rendered; False after a stop.

    Raises:
        UserError: if a storyboard cannot be rendered, the model cannot be loaded, there is not
            enough memory, or the folder cannot be written. Rendered frames are kept then, too.
    """
    manifest = _Manifest(out, boards, runner)
    groups = [out / f"group-{number}" for number in range(1, len(boards) + 1)]
    folders = groups if len(boards) > 1 else [out]
    projects = [
        _OutputFolder(number, board, folder, save_masks, manifest)
        for number, (board, folder) in enumerate(zip(boards, folders, strict=True))
    ]
    for project in projects:
        runner.check(project, None, share_all)
    if reference is not None:
        manifest.references.add(reference)
    with _jobs() as jobs:
        jobs.extend(runner.start(project, None, share_all) for project in projects)
        for number, event in _events(jobs):
            if event is not None:
                report(number, event)
            if isinstance(event, JobFailed):
                raise UserError(event.message)
            if stopped():
                break
        else:
            return True
    manifest.write()
    return False


class _Manifest:
    """The file that lists the rendered frames and their requests; safe to use from any thread."""

    def __init__(self, out: Path, boards: Sequence[Storyboard], runner: Runner) -> None:
        self.out = out
        self.references = ReferenceStore(out / "references")
        self._boards = boards
        self._runner = runner
        self._groups: dict[int, dict[str, Any]] = {}
        self._started = datetime.now(UTC)
        self._guard = threading.Lock()

    def add(self, number: int, request: RenderRequest, frame: Mapping[str, Any]) -> None:
        """Add a frame of the storyboard with this number, and write the file."""
        with self._guard:
            new = {
                "title": self._boards[number].title,
                "request": request.to_dict(),
                "frames": [],
            }
            frames = self._groups.setdefault(number, new)["frames"]
            frames.append(frame)
            frames.sort(key=lambda frame: frame["number"])
        self.write()

    def write(self) -> None:
        """Write the file as things stand."""
        spec = find_model(self._boards[0].settings.model)
        with self._guard:
            rendered = sum(len(group["frames"]) for group in self._groups.values())
            body = {
                "complete": rendered == sum(len(board.frames) for board in self._boards),
                "throughline": __version__,
                "model": {
                    "name": spec.name,
                    "title": spec.title,
                    "licence": spec.licence,
                    "ran": self._runner.describe(),
                },
                "started": self._started.isoformat(timespec="seconds"),
                "seconds": round((datetime.now(UTC) - self._started).total_seconds(), 2),
                "groups": [self._groups[number] for number in sorted(self._groups)],
            }
            write_result(self.out / "manifest.json", MANIFEST_FILE.dump(body))


@dataclass(frozen=True)
class _OutputFolder:
    """A `JobProject` whose takes become pictures in a folder; its number counts from 0."""

    number: int
    storyboard: Storyboard
    folder: Path
    save_masks: bool
    manifest: _Manifest

    @property
    def id(self) -> str:
        return str(self.number)

    @property
    def references(self) -> ReferenceStore:
        return self.manifest.references

    def load(self) -> Storyboard:
        return self.storyboard

    def request(self, take_id: str) -> RenderRequest:
        raise ProjectError(f"{self.folder} keeps no takes.")

    def add_take(
        self, take: Take, image: Image.Image, mask: NDArray[np.bool_], request: RenderRequest
    ) -> None:
        """Write a rendered frame, and add it to the manifest."""
        frame = self.storyboard.frame(take.frame_id)
        number = self.storyboard.position(frame.id) + 1
        stem = file_stem(number, f"{frame.action} {frame.location}")
        entry: dict[str, Any] = {
            "number": number,
            "frame_id": frame.id,
            "prompt": take.prompt,
            "seed": take.seed,
            "seconds": round(take.seconds, 2),
            "matches": take.matches,
            "foreground": round(take.foreground, 4),
            "image": self._write(f"{stem}.png", png_bytes(image, **own_texts(request, frame.id))),
        }
        if self.save_masks:
            entry["mask"] = self._write(
                f"masks/{stem}.png", png_bytes(mask_picture(mask, image.size))
            )
        self.manifest.add(self.number, request, entry)

    def _write(self, name: str, content: bytes) -> Mapping[str, str | int]:
        path = self.folder / name
        write_result(path, content)
        return {
            "path": path.relative_to(self.manifest.out).as_posix(),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }


@contextmanager
def _jobs() -> Iterator[list[Job]]:
    """Yield a list for jobs; cancel those that are not over, and wait for all, on leaving."""
    jobs: list[Job] = []
    try:
        yield jobs
    finally:
        for job in reversed(jobs):  # so that none begins because another ends
            job.cancel()
        for job in jobs:
            job.wait()


def _events(jobs: Sequence[Job]) -> Iterator[tuple[int, JobEvent | None]]:
    """Yield the events of all jobs, with the job's number; None after a while without any."""
    queued: queue.SimpleQueue[tuple[int, JobEvent | None]] = queue.SimpleQueue()

    def forward(number: int, job: Job) -> None:
        for event in job.events():
            queued.put((number, event))
        queued.put((number, None))

    for number, job in enumerate(jobs):
        threading.Thread(target=forward, args=(number, job), daemon=True).start()
    running = len(jobs)
    while running:
        try:
            number, event = queued.get(timeout=_PATIENCE)
        except queue.Empty:
            yield 0, None
            continue
        if event is None:
            running -= 1
        else:
            yield number, event
