"""The folder with an evaluation's pictures, and the painting of those that it lacks.

    OUT/run.json                     what the pictures are painted with
    OUT/pictures/c01/merge-2.png     a picture; it is there when it is done
    OUT/pictures/c01/merge-2.json    its prompt, seed, seconds and matches
    OUT/masks/c01/merge-2.png        its foreground mask, a pixel for each token
    OUT/references/                  the references that frames follow, and what they were cut from
    OUT/models/                      the model with other bundles, for ablations

An evaluation that was stopped goes on from what is there. It knows nothing of scores.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from evaluation.ablation import SUBJECT, make_model
from evaluation.rows import Following, Row, frame_ids, requests
from evaluation.scores import PaintedPicture, PaintedRow
from evaluation.suite import Suite, SuiteCharacter
from pipelines.errors import UserError
from pipelines.events import FrameDone, Notice
from pipelines.models.specs import ModelSpec
from pipelines.pictures import Reference, mask_picture, png_bytes
from pipelines.request import RenderRequest
from storyboard.jobs.job import RenderEngine
from storyboard.settings import Settings
from storyboard.storage.files import DocumentKind, write_result
from storyboard.storage.reference_store import ReferenceStore

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
        references: by name, those of the cases that have one; empty where no row follows them.
    """

    suite: Suite
    cases: tuple[SuiteCharacter, ...]
    rows: tuple[Row, ...]
    spec: ModelSpec
    steps: int
    references: Mapping[str, Reference] = field(default_factory=dict)

    @property
    def characters(self) -> tuple[SuiteCharacter, ...]:
        """Those of the cases that are characters."""
        return tuple(case for case in self.cases if case in self.suite.characters)

    @property
    def prompts(self) -> tuple[SuiteCharacter, ...]:
        """Those of the cases that are single prompts."""
        return tuple(case for case in self.cases if case in self.suite.prompts)

    @property
    def followings(self) -> tuple[Following, ...]:
        """How references are followed, each way once."""
        return tuple(dict.fromkeys(row.follows for row in self.rows if row.follows is not None))

    def record(self) -> dict[str, Any]:
        """What pictures of one folder have in common, as JSON-ready data."""
        record: dict[str, Any] = {
            "suite": self.suite.version,
            "model": self.spec.name,
            "weights": _fingerprint(self.spec),
            "steps": self.steps,
            "true_cfg_scale": self.spec.true_cfg_scale,
            "guidance_scale": self.spec.guidance_scale,
            "consistency": asdict(self.spec.consistency),
        }
        return record | {"references": True} if self.suite.has_references else record

    def subjects(self) -> dict[str, dict[str, object]]:
        """With what references are followed, and how closely, by the ways' names."""
        return {
            following.name: {
                "weights": _bundle_fingerprint(self.spec, following),
                "strength": following.strength_for(self.spec),
            }
            for following in self.followings
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
            UserError: if it holds something else, or cannot be written; or if the model cannot be
                painted with another bundle.
        """
        path, record, subjects = self.out / "run.json", self.run.record(), self.run.subjects()
        known: dict[str, Any] = {}
        if path.exists():
            found = RUN_FILE.read(path)
            known = found.pop("subjects", {})
            if found != record or any(known.get(n, mine) != mine for n, mine in subjects.items()):
                raise UserError(
                    f"The pictures in {self.out} are of another suite, model or setting.",
                    "Choose another folder with --out.",
                )
        elif self.out.is_dir() and any(self.out.iterdir()):
            raise UserError(
                f"{self.out} holds something that is no evaluation.",
                "Choose another folder with --out.",
            )
        if all_subjects := known | subjects:
            record["subjects"] = all_subjects
        self.write("run.json", RUN_FILE.dump(record))
        for following in self.run.followings:
            if following.bundle is not None:
                make_model(self.run.spec, following.bundle, Path(following.model))
        for reference in self.run.references.values():
            self.references.add(reference)

    @property
    def references(self) -> ReferenceStore:
        """The folder's reference pictures."""
        return ReferenceStore(self.out / "references")

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
        planned = [(case, request) for case in cases for request in self._requests(case)]
        # One model after the other: each has to be loaded.
        for case, request in sorted(planned, key=lambda item: item[1].model):
            events = engine.render(request, self.references.folder)
            doubted: set[str] = set()
            try:
                for event in events:
                    if isinstance(event, Notice) and event.kind == "reference":
                        doubted.add(event.about)
                    elif isinstance(event, FrameDone):
                        self._save(case, request, event, doubted)
                        yield f"{case.name}/{event.frame_id}"
            finally:
                events.close()

    def _requests(self, case: SuiteCharacter) -> Iterator[RenderRequest]:
        """What paints the frames of a case that are missing."""
        run, wanted = self.run, self.missing(case)
        reference = run.references.get(case.name)
        name = None if reference is None else reference.name
        return requests(run.suite, case, run.rows, run.spec, run.steps, wanted, name)

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

    def doubted(self) -> list[str]:
        """Names of the cases whose reference the model says that it may not follow."""
        own = [row for row in self.run.rows if row.follows is not None and not row.follows.bundle]
        return [
            case.name
            for case in self.run.cases
            if own and own[0].covers(case) and "doubted" in self._record(case, own[0].frame_id(0))
        ]

    def _picture(self, case: SuiteCharacter, frame_id: str) -> Path:
        return self.out / "pictures" / case.name / f"{frame_id}.png"

    def _painted(self, case: SuiteCharacter, frame_id: str) -> PaintedPicture:
        record = self._record(case, frame_id)
        return PaintedPicture(self._picture(case, frame_id), record["seconds"])

    def _record(self, case: SuiteCharacter, frame_id: str) -> dict[str, Any]:
        path = self._picture(case, frame_id).with_suffix(".json")
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return record

    def _save(
        self,
        case: SuiteCharacter,
        request: RenderRequest,
        done: FrameDone,
        doubted: Collection[str],
    ) -> None:
        frame = next(f for f in request.frames if f.frame_id == done.frame_id)
        record: dict[str, Any] = {
            "prompt": frame.prompt.text,
            "seed": frame.seed,
            "seconds": round(done.seconds, 3),
            "matches": done.matches,
        }
        if frame.active_reference is not None:
            record["reference"] = frame.active_reference
            if frame.active_reference in doubted:
                record["doubted"] = True
        rows, columns = done.mask.shape
        name = f"{case.name}/{done.frame_id}"
        mask = mask_picture(done.mask, (columns, rows))
        self.write(f"masks/{name}.png", png_bytes(mask))
        self.write(f"pictures/{name}.json", json.dumps(record, ensure_ascii=False).encode())
        self.write(f"pictures/{name}.png", png_bytes(done.image))  # last: it says "done"


def paint_missing(gallery: Gallery, settings: Settings, workers: int) -> None:
    """Paint what a gallery lacks, and say how far it is and how long it will take.

    Args:
        gallery: an open gallery.
        settings: on which device and in which number format to paint.
        workers: how many processes paint.

    Raises:
        UserError: if something cannot be loaded, painted or written. What is painted is kept.
    """
    from storyboard.engine import Engine

    total = sum(len(gallery.missing(case)) for case in gallery.run.cases)
    if not total:
        return
    say(f"painting {total} pictures with {gallery.run.spec.title}")
    painting: Iterator[str]
    if workers > 1:
        painting = paint_side_by_side(gallery, settings, workers)
    else:
        painting = gallery.paint(Engine(settings), gallery.run.cases)
    started = time.monotonic()
    for done, name in enumerate(painting, start=1):
        left = (time.monotonic() - started) / done * (total - done)
        say(f"{done} of {total} pictures ({name}), about {left / 60:.0f} min left")


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
    components = ("text_encoder", "text_encoder_2", "transformer", "vae")
    return _digest([Path(spec.source) / component for component in components])


def _bundle_fingerprint(spec: ModelSpec, following: Following) -> str:
    """A digest of what a model follows references with; empty for what is on the hub."""
    if following.bundle is None and spec.kind == "hub":
        return ""
    bundle = following.bundle or Path(spec.source) / SUBJECT
    return _digest([bundle, *sorted(path for path in bundle.iterdir() if path.is_dir())])


def _digest(folders: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.glob("*.safetensors")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def say(words: str) -> None:
    """Report progress on stderr."""
    print(words, file=sys.stderr)
