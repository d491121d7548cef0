"""The sole crossing to the imaging engine: prepares references, loads models, paints requests.

torch is imported when the first model is loaded, not before, so that opening the app does not
wait for it. On a ZeroGPU Space the painting runs in a process that is lent a GPU.
"""

from __future__ import annotations

import gc
import os
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.events import MemoryNoted
from pipelines.models.catalog import (
    BIREFNET,
    MattingSpec,
    ModelSpec,
    UnknownModelError,
    find_model,
)
from pipelines.models.presets import AUTO, Machine
from pipelines.request import RenderRequest
from pipelines.styles.info import StyleLora
from storyboard.consents import Consents
from storyboard.errors import ModelError, NoFigureFound, OutOfMemoryError, PictureError, UserError
from storyboard.jobs import NO_BANKS, BankExchange, ModelLoading
from storyboard.lent_gpu import Painting, Pictures, on_lent_gpu
from storyboard.planning import cannot_follow
from storyboard.references import LARGEST_SIDE, FindFigure, Reference, References
from storyboard.settings import Settings
from storyboard.stepping_down import Events, bank_fault, memory_fault, paint_stepping_down

if TYPE_CHECKING:
    from PIL import Image

    from pipelines.flux1.pipeline import FluxStoryboardPipeline
    from pipelines.flux1.previews import Previews
    from pipelines.instant_character.bundle import SubjectBundle
    from pipelines.loading.faults import LoadingError
    from pipelines.loading.placement import Placement
    from pipelines.reference.birefnet import BiRefNetMatting
    from pipelines.reference.matting import Mask


@dataclass
class _Loaded:
    """A model, how it is placed, what shows its frames while it paints, where that is wanted, and
    what it follows pictures with once that was."""

    spec: ModelSpec
    placement: Placement
    pipeline: FluxStoryboardPipeline
    previews: Previews | None = None
    subject: SubjectBundle | None = None


class Engine:
    """Paints requests with the models that they name; keeps the last model loaded.

    For one thread at a time.

    Args:
        settings: on which device, in which number format and memory preset to paint, and where it
            is remembered what a person has agreed to.
        previews: whether somebody sees frames while they are painted, with models that have
            something which shows them cheaply.
    """

    def __init__(self, settings: Settings, previews: bool = False) -> None:
        self._settings = settings
        self._shows_frames = previews
        self._consents = Consents(settings.consents)
        self._loaded: _Loaded | None = None
        self._plan: tuple[ModelSpec, Placement] | None = None
        self._paint_where_the_gpu_is = on_lent_gpu(self._paint)

    def check(self, request: RenderRequest) -> None:
        """Refuse at once what the model cannot paint; loads nothing.

        Raises:
            ModelError: if the model is not known, or the request names pictures and it cannot
                follow any.
            ConsentNeeded: if a person has not agreed yet to what it follows them with.
        """
        spec = _spec(request.model)
        if not request.references:
            return
        subject = spec.subject
        if subject is None:
            raise cannot_follow(spec)
        if subject.consent:
            self._consents.require(
                subject.consent,
                subject,
                f"{spec.title} follows reference pictures with {subject.title}, whose weights may "
                "be used for research only.",
            )

    def render(
        self, request: RenderRequest, pictures: Path | None = None, banks: BankExchange = NO_BANKS
    ) -> Events:
        """Paint a request; see `RenderEngine.render`.

        Args:
            request: what to paint.
            pictures: the folder of the pictures that it names, as `References` keeps them.
            banks: those that come from other processes and go there.

        Yields:
            A `ModelLoading` for whatever has to be loaded first, then what
            `FluxStoryboardPipeline.stream` reports.

        Raises:
            ConsentNeeded: as `check`.
            ProjectError: if one of the pictures is missing or damaged.
            ModelError: if the model, a LoRA, or what follows pictures cannot be loaded.
            OutOfMemoryError: if the model or the render does not fit into memory.
        """
        self.check(request)
        images: dict[str, Image.Image] = {}
        if request.references:
            if pictures is None:
                raise ValueError(f"no folder for the pictures {sorted(request.references)}")
            images = {name: References(pictures).image(name) for name in request.references}
        for style in request.styles:
            if not os.path.exists(os.path.expanduser(style.source)):
                yield ModelLoading(style.source)
            _check_style(style)
        yield from paint_stepping_down(
            request, lambda left: self._attempt(left, images, banks), self._step_down
        )

    def _attempt(self, request: RenderRequest, images: Pictures, banks: BankExchange) -> Events:
        """Load what is missing, and paint."""
        spec = _spec(request.model)
        if self._loaded is None or self._loaded.spec != spec:
            yield ModelLoading(spec.title)
            planned = self._plan is not None and self._plan[0] == spec
            preset = self._planned(spec).preset
            if self._settings.memory == AUTO and not preset.exact and not planned:
                yield MemoryNoted(
                    f"{spec.title} fits here only with memory preset {preset.name}: {preset.title}."
                    f" {preset.note}"
                )
        loaded = self._model(spec)
        if images and spec.subject is not None and loaded.subject is None:
            yield ModelLoading(spec.subject.title)
            self._subject(loaded)
        with closing(self._paint_where_the_gpu_is(request, images, banks)) as painting:
            for event in painting:
                if isinstance(event, UserError):
                    raise event
                yield event

    def describe(self) -> str:
        """The loaded model and where it runs, "FLUX.1 [dev] on cuda, bfloat16"; empty before."""
        if self._loaded is None:
            return ""
        placement = self._loaded.placement
        dtype = str(placement.dtype).removeprefix("torch.")
        preset = "" if placement.preset.name == "full" else f", {placement.preset.name}"
        return f"{self._loaded.spec.title} on {placement.device.type}, {dtype}{preset}"

    def _paint(self, request: RenderRequest, pictures: Pictures, banks: BankExchange) -> Painting:
        """Paint; a fault for a person is yielded, since a raised one loses its words on the way
        back from a ZeroGPU's process."""
        _calm_threads()
        from pipelines.consistency.store.storage import BankFull
        from pipelines.loading.faults import LoadingError
        from pipelines.loading.placement import budget
        from pipelines.sampling.rendering import RenderBudget

        spec = _spec(request.model)
        try:
            loaded = self._model(spec)
            yield from loaded.pipeline.stream(
                request,
                max_sequence_length=spec.max_sequence_length,
                subject=self._subject(loaded) if pictures else None,
                pictures=pictures,
                budget=budget(loaded.placement, RenderBudget(**vars(self._settings.lending))),
                lent=banks.unpacked(),
                keep=banks.keep,
                previews=loaded.previews,
            )
        except UserError as error:
            yield error
        except LoadingError as error:  # of a style, which is loaded for the render alone
            yield _told(error)
        except BankFull as error:
            yield bank_fault(error)
        except (RuntimeError, MemoryError) as error:
            yield memory_fault(
                error,
                f"to paint with {spec.title} at this size",
                "Choose a smaller size or model, or close what else uses the memory.",
            )

    def _model(self, spec: ModelSpec) -> _Loaded:
        if self._loaded is not None and self._loaded.spec == spec:
            return self._loaded
        placement = self._planned(spec)
        from pipelines.loading.model import LoadingError, open_pipeline
        from pipelines.loading.previews import find_previews

        try:
            pipeline = open_pipeline(
                spec, placement, self._settings.attention, compiled=self._settings.compiled
            )
        except LoadingError as error:
            raise _told(error) from error
        previews = find_previews(spec, pipeline) if self._shows_frames else None
        self._loaded = _Loaded(spec, placement, pipeline, previews)
        return self._loaded

    def _planned(self, spec: ModelSpec) -> Placement:
        """How a model is placed; unloads another one, since two of them seldom fit."""
        if self._plan is not None and self._plan[0] == spec:
            return self._plan[1]
        self._unload()
        _calm_threads()
        from pipelines.loading.model import (
            LoadingError,
            check_folder,
            choose_device,
            plan_placement,
        )

        settings = self._settings
        try:
            if spec.kind != "hub":
                check_folder(spec)
            device = choose_device(settings.device)
            placement = plan_placement(spec, device, settings.dtype, settings.memory)
        except LoadingError as error:
            raise _told(error) from error
        self._plan = (spec, placement)
        return placement

    def _step_down(self) -> str:
        """After memory ran out: unload, and plan a smaller preset.

        Returns:
            What a person is told; empty where there is no smaller preset.
        """
        if self._plan is None:
            return ""
        from pipelines.loading.model import plan_step_down

        spec, before = self._plan
        self._unload()
        smaller = plan_step_down(spec, before)
        if smaller is None:
            return ""
        self._plan = (spec, smaller)
        preset = smaller.preset
        return (
            f"Memory ran out, so {spec.title} goes on with memory preset {preset.name} in place of "
            f"{before.preset.name}: {preset.title}. {preset.note} Frames that are done are kept."
        )

    def _unload(self) -> None:
        self._plan = None
        if self._loaded is not None:
            self._loaded = None
            _free_memory()

    def _subject(self, loaded: _Loaded) -> SubjectBundle:
        """What a loaded model follows pictures with; goes with the model."""
        from pipelines.loading.character import load_subject
        from pipelines.loading.model import LoadingError

        if loaded.subject is None:
            try:
                loaded.subject = load_subject(loaded.spec, loaded.pipeline, loaded.placement)
            except LoadingError as error:
                raise _told(error) from error
        return loaded.subject


def lent_bytes(spec: ModelSpec, itemsize: int, foreground: float) -> tuple[int, int] | None:
    """What is kept of a frame that lends; see `pipelines.sampling.rendering.lent_bytes`."""
    from pipelines.sampling import rendering

    return rendering.lent_bytes(spec, itemsize, foreground)


def prepare_reference(
    picture: bytes | Path | Image.Image,
    mask: Image.Image | None = None,
    added: Image.Image | None = None,
    removed: Image.Image | None = None,
    find: FindFigure | None = None,
) -> Reference:
    """Cut the figure out of a picture and put it on white; see `references.PrepareReference`."""
    import numpy as np
    from PIL import Image

    from pipelines.reference import matting, opening, preparing

    if isinstance(picture, Image.Image):
        source = picture
    else:
        try:
            source = opening.open_picture(picture)
        except opening.UnusablePicture as error:
            raise PictureError(str(error)) from error

    def opacity(strokes: Image.Image | None) -> Mask:
        if strokes is None:
            return np.zeros((source.height, source.width), np.uint8)
        return np.asarray(strokes, np.uint8)

    if mask is None and find is not None:
        mask = find(source)
    if mask is None:
        found = matting.built_in_matting(source).mask(source)
    else:
        found = np.asarray(mask, np.uint8)
    found = preparing.mend(found, opacity(added), opacity(removed))
    whole = Image.fromarray(found)
    try:
        prepared = preparing.prepare_reference(source, found)
    except opening.UnusablePicture as error:
        raise NoFigureFound(str(error), source, whole) from error
    prepared.image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    return Reference(prepared.image, source, whole, prepared.doubt)


class NetworkMatting:
    """Finds figures with a network, which is loaded when first wanted and kept; for any thread.

    It runs on the CPU, so that it takes no memory from the model that paints.

    Args:
        settings: where it is remembered what a person has agreed to.
        spec: the network.
    """

    def __init__(self, settings: Settings, spec: MattingSpec = BIREFNET) -> None:
        self._consents = Consents(settings.consents)
        self._spec = spec
        self._guard = threading.Lock()
        self._loaded: BiRefNetMatting | None = None

    def mask(self, picture: Image.Image) -> Image.Image:
        """See `references.FindFigure`.

        Raises:
            ConsentNeeded: if the network's own code would run and nobody has agreed to that yet.
            ModelError: if the network cannot be loaded.
            OutOfMemoryError: if memory does not suffice.
        """
        from PIL import Image

        spec = self._spec
        if spec.runs_code:
            self._consents.require(
                spec.source,
                spec,
                f"{spec.title} finds figures with Python code of its own, which is downloaded and "
                "would run with your rights.",
            )
        try:
            with self._guard:
                return Image.fromarray(self._network().mask(picture))
        except (RuntimeError, MemoryError) as error:
            remedy = "Close what else uses the memory, or use the built-in way."
            raise memory_fault(error, f"for {spec.title}", remedy) from error

    def _network(self) -> BiRefNetMatting:
        from pipelines.reference.birefnet import BiRefNetMatting, MattingUnavailable

        if self._loaded is None:
            try:
                self._loaded = BiRefNetMatting.load(self._spec.source, run_remote_code=True)
            except MattingUnavailable as error:
                raise ModelError(str(error)) from error
        return self._loaded


def machine_here(settings: Settings) -> Machine:
    """The memory that a model could take on this machine; loads torch.

    Raises:
        ModelError: if the machine has no such device as the settings name.
    """
    _calm_threads()
    from pipelines.loading.model import LoadingError, choose_device, find_machine

    try:
        return find_machine(choose_device(settings.device))
    except LoadingError as error:
        raise _told(error) from error


def usability(spec: ModelSpec, settings: Settings) -> str:
    """Whether a model can paint on this machine, in a few words; loads torch but no model."""
    from huggingface_hub import try_to_load_from_cache

    _calm_threads()
    from pipelines.loading.model import LoadingError, choose_device, plan_placement

    try:
        device = choose_device(settings.device)
        placement = plan_placement(spec, device, settings.dtype, settings.memory)
    except LoadingError as error:
        return f"no: {error.problem}"
    answer = f"yes, on {placement.device.type}, with memory preset {placement.preset.name}"
    if spec.kind == "hub" and try_to_load_from_cache(spec.source, "model_index.json") is None:
        terms = "accepting its terms and " if spec.gated else ""
        size = f" {spec.download_bytes / 1e9:.0f} GB" if spec.download_bytes else ""
        answer += f", after {terms}downloading{size or ' it'}"
    return answer


def _spec(model: str) -> ModelSpec:
    try:
        return find_model(model)
    except UnknownModelError as error:
        raise ModelError(str(error)) from error


def _calm_threads() -> None:
    """Before torch is first imported: let its threads wait for one another but shortly, then sleep.

    Spinning on makes painting ten times slower where anything else, such as the browser, wants the
    same cores; sleeping at once, nearly twice as slow where nothing does (`benchmarks.frame_time`
    with these variables). OpenMP reads them once.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # on Linux, where it has precedence


def _told(error: LoadingError) -> UserError:
    """What a person is told of something that cannot be loaded."""
    kind = OutOfMemoryError if error.reason == "memory" else ModelError
    return kind(error.problem, error.remedy)


def _check_style(style: StyleLora) -> None:
    from pipelines.loading.faults import LoadingError
    from pipelines.styles.check import check_style

    try:
        check_style(style.source)
    except LoadingError as error:
        raise _told(error) from error


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
