"""Folder of an evaluation's pictures, and the rendering of those that are missing.

    OUT/run.json                     suite, model and settings of the pictures
    OUT/pictures/c01/merge-2.png     a picture; it is there when it is done
    OUT/pictures/c01/merge-2.json    its prompt, seed, seconds and matches
    OUT/masks/c01/merge-2.png        its foreground mask, a pixel for each token
    OUT/references/                  the references of the characters, and their sources
    OUT/models/                      the model with other bundles, for ablations

A stopped evaluation continues with the missing pictures. Knows nothing of scores.
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
from evaluation.rows import Conditioning, SuiteRow, frame_ids, requests
from evaluation.scores import RenderedPicture, RenderedRow
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
class EvaluationRun:
    """Cases, rows and model of an evaluation.

    Attributes:
        suite: the suite that the cases are from.
        cases: the characters and single prompts to render.
        rows: the ways to render them; of a single prompt there is an identity frame alone.
        spec: the model.
        steps: denoising steps.
        references: of the cases that have one, by name; empty where no row uses them.
    """

    suite: Suite
    cases: tuple[SuiteCharacter, ...]
    rows: tuple[SuiteRow, ...]
    spec: ModelSpec
    steps: int
    references: Mapping[str, Reference] = field(default_factory=dict)

    @property
    def characters(self) -> tuple[SuiteCharacter, ...]:
        """Cases that are characters."""
        return tuple(case for case in self.cases if case in self.suite.characters)

    @property
    def prompts(self) -> tuple[SuiteCharacter, ...]:
        """Cases that are single prompts."""
        return tuple(case for case in self.cases if case in self.suite.prompts)

    @property
    def conditionings(self) -> tuple[Conditioning, ...]:
        """Conditionings of the rows, each once."""
        found = (row.conditioning for row in self.rows if row.conditioning is not None)
        return tuple(dict.fromkeys(found))

    def record(self) -> dict[str, Any]:
        """Return the settings that all pictures of one folder share, as JSON-ready data."""
        record: dict[str, Any] = {
            "suite": self.suite.version,
            "model": self.spec.name,
            "weights": _fingerprint(self.spec),
            "steps": self.steps,
            "true_cfg_scale": self.spec.true_cfg_scale,
            "guidance_scale": self.spec.guidance_scale,
            "consistency": asdict(self.spec.consistency_for(self.steps)),
        }
        return record | {"references": True} if self.suite.has_references else record

    def subjects(self) -> dict[str, dict[str, object]]:
        """Return weights and strength of the conditionings, by their names, as JSON-ready data."""
        return {
            conditioning.name: {
                "weights": _bundle_fingerprint(self.spec, conditioning),
                "strength": conditioning.strength_for(self.spec),
            }
            for conditioning in self.conditionings
        }


@dataclass(frozen=True)
class EvaluationFolder:
    """Folder with the pictures of a run; `out` is its path."""

    run: EvaluationRun
    out: Path

    def open(self) -> None:
        """Make the folder, or check that its pictures are of the same suite, model and settings.

        Raises:
            UserError: if it holds something else, or cannot be written; or if the model cannot
                render with another bundle.
        """
        path, record, subjects = self.out / "run.json", self.run.record(), self.run.subjects()
        known: dict[str, Any] = {}
        if path.exists():
            found = RUN_FILE.read(path)
            known = found.pop("subjects", {})
            if found != record or any(known.get(n, own) != own for n, own in subjects.items()):
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
        for conditioning in self.run.conditionings:
            if conditioning.bundle is not None:
                make_model(self.run.spec, conditioning.bundle, Path(conditioning.model))
        for reference in self.run.references.values():
            self.references.add(reference)

    @property
    def references(self) -> ReferenceStore:
        """Reference pictures of the folder."""
        return ReferenceStore(self.out / "references")

    def write(self, name: str, content: bytes) -> None:
        """Write one of the folder's files.

        Raises:
            UserError: if the disk does not take it.
        """
        write_result(self.out / name, content)

    def missing(self, case: SuiteCharacter) -> list[str]:
        """Return the ids of the frames of a case that are not rendered yet."""
        names = frame_ids(case, self.run.rows)
        return [name for name in names if not self._picture(case, name).exists()]

    def render(self, engine: RenderEngine, cases: Sequence[SuiteCharacter]) -> Iterator[str]:
        """Render the missing frames of cases; yields the name of each picture once it is saved."""
        planned = [(case, request) for case in cases for request in self._requests(case)]
        # One model after the other, since each has to be loaded.
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
        run, reference, missing = self.run, self.run.references.get(case.name), self.missing(case)
        name = None if reference is None else reference.name
        return requests(run.suite, case, run.rows, run.spec, run.steps, missing, name)

    def row(self, row: SuiteRow, cases: Sequence[SuiteCharacter]) -> RenderedRow:
        """Return the pictures of a row, of those cases that it covers."""
        return RenderedRow(
            row.name,
            {
                case.name: tuple(
                    self._rendered(case, row.frame_id(index)) for index in range(len(case.frames))
                )
                for case in cases
                if row.covers(case)
            },
        )

    def doubted(self) -> list[str]:
        """Return the names of the cases whose reference is unlike the model's training."""
        rows = self.run.rows
        own = [row for row in rows if row.conditioning is not None and not row.conditioning.bundle]
        return [
            case.name
            for case in self.run.cases
            if own and own[0].covers(case) and "doubted" in self._record(case, own[0].frame_id(0))
        ]

    def _picture(self, case: SuiteCharacter, frame_id: str) -> Path:
        return self.out / "pictures" / case.name / f"{frame_id}.png"

    def _rendered(self, case: SuiteCharacter, frame_id: str) -> RenderedPicture:
        record = self._record(case, frame_id)
        return RenderedPicture(self._picture(case, frame_id), record["seconds"])

    def _record(self, case: SuiteCharacter, frame_id: str) -> Any:
        path = self._picture(case, frame_id).with_suffix(".json")
        return json.loads(path.read_text(encoding="utf-8"))

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
        self.write(f"pictures/{name}.png", png_bytes(done.image))  # last: its presence means "done"


def render_missing(folder: EvaluationFolder, settings: Settings, workers: int) -> None:
    """Render the missing pictures of an open folder, and report the progress and the time left.

    Raises:
        UserError: if something cannot be loaded, rendered or written. Rendered pictures are kept.
    """
    from storyboard.engine import Engine

    total = sum(len(folder.missing(case)) for case in folder.run.cases)
    if not total:
        return
    report_progress(f"rendering {total} pictures with {folder.run.spec.title}")
    names: Iterator[str]
    if workers > 1:
        names = render_in_processes(folder, settings, workers)
    else:
        names = folder.render(Engine(settings), folder.run.cases)
    started = time.monotonic()
    for done, name in enumerate(names, start=1):
        left = (time.monotonic() - started) / done * (total - done)
        report_progress(f"{done} of {total} pictures ({name}), about {left / 60:.0f} min left")


def render_in_processes(
    folder: EvaluationFolder, settings: Settings, workers: int
) -> Iterator[str]:
    """Render the missing pictures of an open folder in several processes.

    Each process loads the model and gets its share of the processors.

    Yields:
        The name of each picture once it is saved.

    Raises:
        UserError: if a process ends early.
    """
    context = multiprocessing.get_context("spawn")
    reports: multiprocessing.Queue[str | UserError] = context.Queue()
    cases = [case for case in folder.run.cases if folder.missing(case)]
    left = sum(len(folder.missing(case)) for case in cases)
    processes = [
        context.Process(
            target=_render_share,
            args=(folder, settings, cases[first::workers], workers, reports),
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
                        "A process that rendered ended early.",
                        "Its messages are above; the same command continues with what is missing.",
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


def _render_share(
    folder: EvaluationFolder,
    settings: Settings,
    cases: Sequence[SuiteCharacter],
    workers: int,
    reports: multiprocessing.Queue[str | UserError],
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends this process
    # Read when torch is first imported, which the engine does when it first renders.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    from storyboard.engine import Engine

    try:
        for name in folder.render(Engine(settings), cases):
            reports.put(name)
    except UserError as error:
        reports.put(error)


def _fingerprint(spec: ModelSpec) -> str:
    """Return a digest of the weights of a model on this disk; empty for one on the hub."""
    if spec.kind == "hub":
        return ""
    components = ("text_encoder", "text_encoder_2", "transformer", "vae")
    return _digest([Path(spec.source) / component for component in components])


def _bundle_fingerprint(spec: ModelSpec, conditioning: Conditioning) -> str:
    """Return a digest of the weights of a conditioning; empty for those on the hub."""
    if conditioning.bundle is None and spec.kind == "hub":
        return ""
    bundle = conditioning.bundle or Path(spec.source) / SUBJECT
    return _digest([bundle, *sorted(path for path in bundle.iterdir() if path.is_dir())])


def _digest(folders: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.glob("*.safetensors")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def report_progress(message: str) -> None:
    """Print a message on stderr."""
    print(message, file=sys.stderr)
