"""The folder with an evaluation's pictures, and the painting of those that it lacks.

    OUT/run.json                     what the pictures are painted with
    OUT/pictures/c01/merge-2.png     a picture; it is there when it is done
    OUT/pictures/c01/merge-2.json    its prompt, seed, seconds and matches
    OUT/masks/c01/merge-2.png        its foreground mask, a pixel for each token

An evaluation that was stopped goes on from what is there. It knows nothing of scores.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty
from typing import Any

from pipelines.events import FrameDone
from pipelines.registry import ModelSpec
from pipelines.request import RenderRequest
from pipelines.scores import PaintedPicture, PaintedRow
from pipelines.suite import Suite, SuiteCharacter
from storyboard.errors import UserError
from storyboard.evaluation.rows import Row, frame_ids, requests
from storyboard.files import DocumentKind, mask_picture, png_bytes, write_result
from storyboard.jobs import RenderEngine
from storyboard.settings import Settings

RUN_FILE = DocumentKind("throughline evaluation")
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Run:
    """What an evaluation paints, and with what.

    Attributes:
        suite: the suite that the cases are from.
        cases: the characters and single prompts to paint.
        rows: in which ways; of a single prompt there is an identity frame alone.
        spec: the model.
        steps: denoising steps.
    """

    suite: Suite
    cases: tuple[SuiteCharacter, ...]
    rows: tuple[Row, ...]
    spec: ModelSpec
    steps: int

    def record(self) -> dict[str, Any]:
        """What pictures of one folder have in common, as JSON-ready data."""
        return {
            "suite": self.suite.version,
            "model": self.spec.name,
            "weights": _fingerprint(self.spec),
            "steps": self.steps,
            "true_cfg_scale": self.spec.true_cfg_scale,
            "guidance_scale": self.spec.guidance_scale,
            "consistency": asdict(self.spec.consistency),
        }


@dataclass(frozen=True)
class Gallery:
    """The pictures of a run in a folder.

    Attributes:
        run: what is painted.
        out: the folder.
    """

    run: Run
    out: Path

    def open(self) -> None:
        """Make the folder, or make sure that what it holds was painted in the same way.

        Raises:
            UserError: if it holds something else, or cannot be written.
        """
        path, record = self.out / "run.json", self.run.record()
        if path.exists():
            if RUN_FILE.read(path) != record:
                raise UserError(
                    f"The pictures in {self.out} are of another suite, model or setting.",
                    "Choose another folder with --out.",
                )
        elif self.out.is_dir() and any(self.out.iterdir()):
            raise UserError(
                f"{self.out} holds something that is no evaluation.",
                "Choose another folder with --out.",
            )
        else:
            self.write("run.json", RUN_FILE.dump(record))

    def write(self, name: str, content: bytes) -> None:
        """Write one of the folder's files.

        Raises:
            UserError: if the disk does not take it.
        """
        write_result(self.out / name, content)

    def missing(self, case: SuiteCharacter) -> list[str]:
        """Ids of the frames of a case that are not painted yet."""
        names = frame_ids(case, self.run.rows)
        return [name for name in names if not self._picture(case, name).exists()]

    def paint(self, engine: RenderEngine, cases: Sequence[SuiteCharacter]) -> Iterator[str]:
        """Paint what the cases lack; yields the name of each picture once it is on the disk."""
        run = self.run
        for case in cases:
            wanted = self.missing(case)
            for request in requests(run.suite, case, run.rows, run.spec, run.steps, wanted):
                events = engine.render(request)
                try:
                    for event in events:
                        if isinstance(event, FrameDone):
                            self._save(case, request, event)
                            yield f"{case.name}/{event.frame_id}"
                finally:
                    events.close()

    def row(self, row: Row, cases: Sequence[SuiteCharacter]) -> PaintedRow:
        """The pictures of a row, of those cases that it covers."""
        return PaintedRow(
            row.name,
            {
                case.name: tuple(
                    self._painted(case, row.frame_id(index)) for index in range(len(case.frames))
                )
                for case in cases
                if row.covers(case)
            },
        )

    def _picture(self, case: SuiteCharacter, frame_id: str) -> Path:
        return self.out / "pictures" / case.name / f"{frame_id}.png"

    def _painted(self, case: SuiteCharacter, frame_id: str) -> PaintedPicture:
        path = self._picture(case, frame_id)
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return PaintedPicture(path, record["seconds"])

    def _save(self, case: SuiteCharacter, request: RenderRequest, done: FrameDone) -> None:
        frame = next(f for f in request.frames if f.frame_id == done.frame_id)
        record = {
            "prompt": frame.prompt.text,
            "seed": frame.seed,
            "seconds": round(done.seconds, 3),
            "matches": done.matches,
        }
        rows, columns = done.mask.shape
        name = f"{case.name}/{done.frame_id}"
        mask = mask_picture(done.mask, (columns, rows))
        self.write(f"masks/{name}.png", png_bytes(mask))
        self.write(f"pictures/{name}.json", json.dumps(record, ensure_ascii=False).encode())
        self.write(f"pictures/{name}.png", png_bytes(done.image))  # last: it says "done"


def paint_side_by_side(gallery: Gallery, settings: Settings, workers: int) -> Iterator[str]:
    """Paint what a gallery lacks in several processes.

    Args:
        gallery: an open gallery.
        settings: on which device and in which number format to paint.
        workers: how many processes; each loads the model and gets its share of the processors.

    Yields:
        The name of each picture once it is on the disk.

    Raises:
        UserError: if a process ends early.
    """
    context = multiprocessing.get_context("spawn")
    reports: multiprocessing.Queue[str | UserError] = context.Queue()
    cases = [case for case in gallery.run.cases if gallery.missing(case)]
    left = sum(len(gallery.missing(case)) for case in cases)
    processes = [
        context.Process(
            target=_paint_share,
            args=(gallery, settings, cases[first::workers], workers, reports),
            daemon=True,
        )
        for first in range(workers)
    ]
    try:
        for process in processes:
            process.start()
        while left:
            try:
                report = reports.get(timeout=_POLL_SECONDS)
            except Empty:
                if any(process.exitcode for process in processes):
                    raise UserError(
                        "A process that painted ended early.",
                        "What it said is above; the same command goes on with what is missing.",
                    ) from None
                continue
            if isinstance(report, UserError):
                raise report
            left -= 1
            yield report
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
            if process.pid is not None:
                process.join()


def _paint_share(
    gallery: Gallery,
    settings: Settings,
    cases: Sequence[SuiteCharacter],
    workers: int,
    reports: multiprocessing.Queue[str | UserError],
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends this process
    # Read when torch is first imported, which the engine does when it first paints.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    from storyboard.engine import Engine

    try:
        for name in gallery.paint(Engine(settings), cases):
            reports.put(name)
    except UserError as error:
        reports.put(error)


def _fingerprint(spec: ModelSpec) -> str:
    """A digest of the weights of a model on this disk; empty for one on the hub."""
    if spec.kind == "hub":
        return ""
    digest = hashlib.sha256()
    for component in ("text_encoder", "text_encoder_2", "transformer", "vae"):
        for path in sorted((Path(spec.source) / component).glob("*.safetensors")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
