"""A story file rendered into a folder of pictures, without a project.

    OUT/01-waving-on-a-sunny-beach.png   the frames in order; with several groups in OUT/group-1
    OUT/masks/01-waving-on-a-....png     their foreground masks, where asked for
    OUT/references/<sha256>.png          the pictures that the manifest's requests name
    OUT/manifest.json                    what was made and how

Every group is a job of a runner, so that groups and their frames spread over workers where there
are some. It knows nothing of terminals: progress goes to a callback and a stop comes from one.
"""

from __future__ import annotations

import hashlib
import json
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
from storyboard.jobs.job import Job, Runner
from storyboard.storage.files import DocumentKind, file_stem, write_result
from storyboard.storage.pictures import References
from storyboard.storage.projects import REQUEST_KEY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

MANIFEST_FILE = DocumentKind("throughline manifest")
_PICTURES = "references"
# Seconds after which it is asked whether to stop although nothing happens.
_PATIENCE = 0.2


@dataclass(frozen=True)
class Batch:
    """One render of a story into a folder.

    Attributes:
        groups: the storyboards; their frames have no takes.
        out: the folder; made where it is not there.
        save_masks: whether foreground masks are written too.
        on_event: told of everything that happens, with the number of the group from 0.
        stopped: asked again and again; True ends the render, keeping what is done.
        share_all: let every frame keep the place of its group's first, whatever the frames say.
        pictures: what frames follow.
    """

    groups: Sequence[Storyboard]
    out: Path
    save_masks: bool
    on_event: Callable[[int, JobEvent], None]
    stopped: Callable[[], bool]
    share_all: bool = False
    pictures: Sequence[Reference] = ()

    def run(self, runner: Runner) -> bool:
        """Render, and write the manifest after every frame.

        Args:
            runner: where.

        Returns:
            Whether it ran to its end; False after a stop.

        Raises:
            UserError: if a group cannot be painted, the model cannot be loaded, memory does not
                suffice, or the folder cannot be written. What is done is kept then, too.
        """
        manifest = _Manifest(self.out, self.groups, runner)
        several = len(self.groups) > 1
        folders = [
            _GroupFolder(
                number,
                board,
                self.out / f"group-{number + 1}" if several else self.out,
                self.save_masks,
                manifest,
            )
            for number, board in enumerate(self.groups)
        ]
        for folder in folders:
            runner.check(folder, None, self.share_all)
        for picture in self.pictures:
            References(self.out / _PICTURES).add(picture)
        with _jobs() as jobs:
            for folder in folders:
                jobs.append(runner.start(folder, None, self.share_all))
            stopped = self._follow(jobs)
        if stopped:
            manifest.write()
        return not stopped

    def _follow(self, jobs: Sequence[Job]) -> bool:
        """Pass on what happens until all jobs are over; True where they are to be stopped."""
        for number, event in _events(jobs):
            if event is not None:
                self.on_event(number, event)
            if isinstance(event, JobFailed):
                raise UserError(event.message)
            if self.stopped():
                return True
        return False


class _Manifest:
    """The file that says what was made and how; for any thread.

    Args:
        out: the folder of all groups.
        groups: the storyboards.
        runner: what paints them.
    """

    def __init__(self, out: Path, groups: Sequence[Storyboard], runner: Runner) -> None:
        self.out = out
        self._groups = groups
        self._runner = runner
        self._records: dict[int, dict[str, Any]] = {}
        self._started = datetime.now(UTC)
        self._guard = threading.Lock()

    def add(self, group: int, request: RenderRequest, line: Mapping[str, Any]) -> None:
        """Put down a frame of a group, and write the file."""
        with self._guard:
            new = {
                "title": self._groups[group].title,
                "request": request.to_dict(),
                "frames": [],
            }
            frames = self._records.setdefault(group, new)["frames"]
            frames.append(line)
            frames.sort(key=lambda frame: frame["number"])
        self.write()

    def write(self) -> None:
        """Write the file as things stand."""
        spec = find_model(self._groups[0].settings.model)
        with self._guard:
            painted = sum(len(record["frames"]) for record in self._records.values())
            body = {
                "complete": painted == sum(len(board.frames) for board in self._groups),
                "throughline": __version__,
                "model": {
                    "name": spec.name,
                    "title": spec.title,
                    "licence": spec.licence,
                    "ran": self._runner.describe(),
                },
                "started": self._started.isoformat(timespec="seconds"),
                "seconds": round((datetime.now(UTC) - self._started).total_seconds(), 2),
                "groups": [self._records[group] for group in sorted(self._records)],
            }
            write_result(self.out / "manifest.json", MANIFEST_FILE.dump(body))


@dataclass(frozen=True)
class _GroupFolder:
    """A `JobProject` whose takes become pictures in a folder.

    Attributes:
        number: of the group, from 0.
        storyboard: the group.
        folder: where its pictures go.
        save_masks: whether masks go there, too.
        manifest: what lists them.
    """

    number: int
    storyboard: Storyboard
    folder: Path
    save_masks: bool
    manifest: _Manifest

    @property
    def id(self) -> str:
        """Its number: a runner has one batch."""
        return str(self.number)

    @property
    def references(self) -> References:
        """The pictures of all groups."""
        return References(self.manifest.out / _PICTURES)

    def load(self) -> Storyboard:
        """The storyboard, which never changes."""
        return self.storyboard

    def request(self, take_id: str) -> RenderRequest:
        """Nothing: no take is ever chosen."""
        raise ProjectError(f"{self.folder} keeps no takes.")

    def add_take(
        self, take: Take, image: Image.Image, mask: NDArray[np.bool_], request: RenderRequest
    ) -> None:
        """Write a painted frame, and its line of the manifest."""
        frame = self.storyboard.frame(take.frame_id)
        number = self.storyboard.position(frame.id) + 1
        stem = file_stem(number, f"{frame.action} {frame.location}")
        recipe = json.dumps(request.to_dict(), ensure_ascii=False)
        line: dict[str, Any] = {
            "number": number,
            "frame_id": frame.id,
            "prompt": take.prompt,
            "seed": take.seed,
            "seconds": round(take.seconds, 2),
            "matches": take.matches,
            "foreground": round(take.foreground, 4),
            "image": self._write(f"{stem}.png", png_bytes(image, **{REQUEST_KEY: recipe})),
        }
        if self.save_masks:
            line["mask"] = self._write(
                f"masks/{stem}.png", png_bytes(mask_picture(mask, image.size))
            )
        self.manifest.add(self.number, request, line)

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
    """Jobs that are over when this is left, in whichever way."""
    jobs: list[Job] = []
    try:
        yield jobs
    finally:
        for job in reversed(jobs):  # so that none begins because another ends
            job.cancel()
        for job in jobs:
            job.wait()


def _events(jobs: Sequence[Job]) -> Iterator[tuple[int, JobEvent | None]]:
    """What happens in any job, with its number, until all are over; None where nothing does."""
    happened: queue.SimpleQueue[tuple[int, JobEvent | None]] = queue.SimpleQueue()

    def follow(number: int, job: Job) -> None:
        for event in job.events():
            happened.put((number, event))
        happened.put((number, None))

    for number, job in enumerate(jobs):
        threading.Thread(target=follow, args=(number, job), daemon=True).start()
    following = len(jobs)
    while following:
        try:
            number, event = happened.get(timeout=_PATIENCE)
        except queue.Empty:
            yield 0, None
            continue
        if event is None:
            following -= 1
        else:
            yield number, event
