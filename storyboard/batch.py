"""A story file rendered into a folder of pictures, without a project.

    OUT/01-waving-on-a-sunny-beach.png   the frames in order; with several groups in OUT/group-1
    OUT/masks/01-waving-on-a-....png     their foreground masks, where asked for
    OUT/references/<sha256>.png          the pictures that the manifest's requests name
    OUT/manifest.json                    what was made and how

It knows nothing of terminals: progress goes to a callback and a stop comes from one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.events import FrameDone, PipelineEvent
from pipelines.registry import find_model
from pipelines.request import RenderRequest
from storyboard import __version__
from storyboard.board import Storyboard
from storyboard.files import DocumentKind, file_stem, mask_picture, png_bytes, write_result
from storyboard.jobs import ModelLoading, RenderEngine
from storyboard.jobs_shared import new_take
from storyboard.store import REQUEST_KEY

MANIFEST_FILE = DocumentKind("throughline manifest")


@dataclass(frozen=True)
class Group:
    """One storyboard to render and its request.

    Attributes:
        storyboard: what it shows.
        request: what paints it.
    """

    storyboard: Storyboard
    request: RenderRequest


@dataclass
class Batch:
    """One render of a story into a folder.

    Attributes:
        groups: the storyboards, painted one after the other.
        out: the folder; made where it is not there.
        save_masks: whether foreground masks are written too.
        on_event: told of everything that happens, with the number of the group from 0.
        stopped: asked after every event; True ends the render, keeping what is done.
        pictures: the folder of the reference pictures that requests name; None where none does.
    """

    groups: Sequence[Group]
    out: Path
    save_masks: bool
    on_event: Callable[[int, PipelineEvent | ModelLoading], None]
    stopped: Callable[[], bool]
    pictures: Path | None = None
    _records: list[dict[str, Any]] = field(default_factory=list, init=False)
    _started: datetime = field(default_factory=lambda: datetime.now(UTC), init=False)

    def run(self, engine: RenderEngine) -> bool:
        """Render, and write the manifest after every frame.

        Args:
            engine: what paints.

        Returns:
            Whether it ran to its end; False after a stop.

        Raises:
            UserError: if the model cannot be loaded, memory does not suffice, or the folder
                cannot be written. What is done is kept then, too.
        """
        for index, group in enumerate(self.groups):
            folder = self.out / f"group-{index + 1}" if len(self.groups) > 1 else self.out
            record: dict[str, Any] = {
                "title": group.storyboard.title,
                "request": group.request.to_dict(),
                "frames": [],
            }
            self._records.append(record)
            events = engine.render(group.request, self.pictures)
            try:
                for event in events:
                    if isinstance(event, FrameDone):
                        record["frames"].append(self._save(group, event, folder))
                        self._write_manifest(engine)
                    self.on_event(index, event)
                    if self.stopped():
                        self._write_manifest(engine)
                        return False
            finally:
                events.close()
        return True

    def _write_manifest(self, engine: RenderEngine) -> None:
        spec = find_model(self.groups[0].request.model)
        painted = sum(len(record["frames"]) for record in self._records)
        body = {
            "complete": painted == sum(len(group.request.targets) for group in self.groups),
            "throughline": __version__,
            "model": {
                "name": spec.name,
                "title": spec.title,
                "licence": spec.licence,
                "ran": engine.describe(),
            },
            "started": self._started.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self._started).total_seconds(), 2),
            "groups": self._records,
        }
        self._write(self.out / "manifest.json", MANIFEST_FILE.dump(body))

    def _save(self, group: Group, done: FrameDone, folder: Path) -> dict[str, Any]:
        """Write a painted frame and return its line of the manifest."""
        frame = group.storyboard.frame(done.frame_id)
        number = group.storyboard.position(frame.id) + 1
        stem = file_stem(number, f"{frame.action} {frame.location}")
        recipe = json.dumps(group.request.to_dict(), ensure_ascii=False)
        take = new_take(group.request, done)
        record: dict[str, Any] = {
            "number": number,
            "frame_id": frame.id,
            "prompt": take.prompt,
            "seed": take.seed,
            "seconds": round(take.seconds, 2),
            "matches": take.matches,
            "foreground": round(take.foreground, 4),
            "image": self._write(
                folder / f"{stem}.png", png_bytes(done.image, **{REQUEST_KEY: recipe})
            ),
        }
        if self.save_masks:
            mask = png_bytes(mask_picture(done.mask, done.image.size))
            record["mask"] = self._write(folder / "masks" / f"{stem}.png", mask)
        return record

    def _write(self, path: Path, content: bytes) -> Mapping[str, str | int]:
        write_result(path, content)
        return {
            "path": path.relative_to(self.out).as_posix(),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
