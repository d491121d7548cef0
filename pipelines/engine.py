"""The imaging engine: one warm model that renders requests.

    from pipelines.engine import Engine
    from pipelines.request import FrameRequest, Prompt, RenderRequest

    frame = FrameRequest("park", Prompt("in a park,", "a girl in red,", "waving"), 7, 256, 256)
    pictures = Engine().pictures(RenderRequest("miniature", (frame,), ("park",), steps=20))
    pictures["park"].show()

The engine opens the model that a request names, places it in memory, renders, goes on in less
memory where memory runs out, and frees the model when another one is needed. torch is imported when
the first model is opened, so that a front end does not wait for it. The engine knows nothing of
projects, consent or front ends.
"""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipelines.errors import UserError, out_of_memory
from pipelines.events import Events, FrameDone, ModelLoading, Notice
from pipelines.exchange import NO_BANKS, BankExchange, Pictures, Render, Rendering
from pipelines.models.catalog import find_model
from pipelines.models.presets import AUTO, Machine
from pipelines.models.specs import ModelSpec
from pipelines.models.usability import Usability
from pipelines.out_of_memory import bank_fault, bank_folder_fault, render_stepping_down
from pipelines.request import RenderBudget, RenderRequest
from pipelines.threads import limit_threads

if TYPE_CHECKING:
    from PIL import Image

    from pipelines.flux1.pipeline import FluxStoryboardPipeline
    from pipelines.instant_character.bundle import SubjectBundle
    from pipelines.loading.placement import Placement
    from pipelines.sampling.previews import Previews

_NO_PICTURES: Pictures = MappingProxyType({})


@dataclass(frozen=True)
class EngineOptions:
    """Options for opening models.

    Attributes:
        device: "cuda" (or "cuda:1", ...), "mps" or "cpu"; None for the best there is.
        dtype: "bfloat16", "float16" or "float32"; None for the one that suits the device.
        memory: name of a memory preset, or "auto" for the first that fits.
        budget: memory of a render besides the model, and the order of its frames.
        attention: diffusers' name of the attention backend; None for torch's own.
        compiled: whether transformers are compiled, which makes the first frame slower and all
            others faster.
        previews: whether frames are previewed while they are rendered, with models that have a
            cheap decoder.
    """

    device: str | None = None
    dtype: str | None = None
    memory: str = AUTO
    budget: RenderBudget = field(default_factory=RenderBudget)
    attention: str | None = None
    compiled: bool = False
    previews: bool = False


@dataclass
class _LoadedModel:
    """A model with its placement, its preview decoder, and its character bundle once loaded."""

    spec: ModelSpec
    placement: Placement
    pipeline: FluxStoryboardPipeline
    previews: Previews | None = None
    character: SubjectBundle | None = None


class Engine:
    """Renders requests with the models that they name, and keeps the last model loaded.

    For one thread at a time.

    Args:
        options: device, number format and memory for opening models.
        on_device: wraps the part of a render that computes, where that runs in another process
            (ZeroGPU); None runs it here.
    """

    def __init__(
        self,
        options: EngineOptions | None = None,
        on_device: Callable[[Render], Render] | None = None,
    ) -> None:
        self._options = options or EngineOptions()
        self._loaded: _LoadedModel | None = None
        self._plan: tuple[ModelSpec, Placement] | None = None
        self._compute = self._computed if on_device is None else on_device(self._computed)

    def render(
        self,
        request: RenderRequest,
        pictures: Pictures = _NO_PICTURES,
        banks: BankExchange = NO_BANKS,
    ) -> Events:
        """Render a request; closing the generator stops within one step.

        Args:
            request: the frames and their settings.
            pictures: prepared reference pictures by their names in the request, RGB.
            banks: key/value banks that come from other processes and go there.

        Yields:
            A `ModelLoading` before each load, then the events of `FluxStoryboardPipeline.stream`.

        Raises:
            ModelError: if the model, a LoRA, or the character bundle cannot be loaded; an
                `OutOfMemoryError` where the model or the render does not fit into memory.
            UserError: if the banks do not fit into their budget.
        """
        for style in request.styles:
            if not os.path.exists(os.path.expanduser(style.source)):
                yield ModelLoading(style.source)
            from pipelines.styles.check import check_style

            check_style(style.source)
        yield from render_stepping_down(
            request, lambda left: self._attempt(left, pictures, banks), self._step_down
        )

    def pictures(
        self, request: RenderRequest, references: Pictures = _NO_PICTURES
    ) -> dict[str, Image.Image]:
        """Render a request and return its pictures by frame id.

        Args:
            request: the frames and their settings.
            references: prepared reference pictures by their names in the request, RGB.
        """
        with closing(self.render(request, references)) as events:
            return {e.frame_id: e.image for e in events if isinstance(e, FrameDone)}

    def describe(self) -> str:
        """Return the loaded model and its device, "FLUX.1 [dev] on cuda, bfloat16"; else ""."""
        if self._loaded is None:
            return ""
        placement = self._loaded.placement
        dtype = str(placement.dtype).removeprefix("torch.")
        preset = "" if placement.preset.name == "full" else f", {placement.preset.name}"
        return f"{self._loaded.spec.title} on {placement.device.type}, {dtype}{preset}"

    def unload(self) -> None:
        """Free the loaded model and its memory."""
        self._plan = None
        if self._loaded is not None:
            self._loaded = None
            _release_memory()

    def _attempt(self, request: RenderRequest, pictures: Pictures, banks: BankExchange) -> Events:
        """Load whatever is missing, and render."""
        spec = find_model(request.model)
        if self._loaded is None or self._loaded.spec != spec:
            yield ModelLoading(spec.title)
            planned = self._plan is not None and self._plan[0] == spec
            preset = self._planned(spec).preset
            if self._options.memory == AUTO and not preset.exact and not planned:
                yield Notice(
                    "memory",
                    "",
                    f"{spec.title} fits here only with memory preset {preset.name}: {preset.title}."
                    f" {preset.note}",
                )
        loaded = self._model(spec)
        if pictures and spec.character_adapter is not None and loaded.character is None:
            yield ModelLoading(spec.character_adapter.title)
            self._character(loaded)
        with closing(self._compute(request, pictures, banks)) as rendering:
            for event in rendering:
                if isinstance(event, UserError):
                    raise event
                yield event

    def _computed(
        self, request: RenderRequest, pictures: Pictures, banks: BankExchange
    ) -> Rendering:
        """Render with the loaded model.

        Errors for people are yielded, since a raised one loses its fields on the way back from
        another process.
        """
        import_libraries()
        from pipelines.consistency.store.storage import BankFolderUnusable, BankFull
        from pipelines.loading.placement import budget
        from pipelines.sampling.context import RenderContext

        spec = find_model(request.model)
        try:
            loaded = self._model(spec)
            yield from loaded.pipeline.stream(
                request,
                RenderContext(
                    max_sequence_length=spec.max_sequence_length,
                    character=self._character(loaded) if pictures else None,
                    pictures=pictures,
                    budget=budget(loaded.placement, self._options.budget),
                    banks=banks.unpacked(),
                    keep_bank=banks.keep,
                    previews=loaded.previews,
                ),
            )
        except UserError as error:
            yield error
        except BankFull as error:
            yield bank_fault(error)
        except BankFolderUnusable as error:
            yield bank_folder_fault(error)
        except (RuntimeError, MemoryError) as error:
            yield out_of_memory(
                error,
                f"to render with {spec.title} at this size",
                "Choose a smaller size or model, or close what else uses the memory.",
            )

    def _model(self, spec: ModelSpec) -> _LoadedModel:
        if self._loaded is not None and self._loaded.spec == spec:
            return self._loaded
        placement = self._planned(spec)
        from pipelines.loading.model import open_pipeline
        from pipelines.loading.previews import find_previews

        options = self._options
        pipeline = open_pipeline(spec, placement, options.attention, compiled=options.compiled)
        previews = find_previews(spec, pipeline) if options.previews else None
        self._loaded = _LoadedModel(spec, placement, pipeline, previews)
        return self._loaded

    def _planned(self, spec: ModelSpec) -> Placement:
        """Plan the placement of a model; unload another one, since two of them seldom fit."""
        if self._plan is not None and self._plan[0] == spec:
            return self._plan[1]
        self.unload()
        import_libraries()
        from pipelines.devices import choose_device
        from pipelines.loading.folder import check_files
        from pipelines.loading.model import plan_placement

        check_files(spec)
        options = self._options
        device = choose_device(options.device)
        placement = plan_placement(spec, device, options.dtype, options.memory)
        self._plan = (spec, placement)
        return placement

    def _step_down(self) -> str:
        """Unload after memory ran out, and plan a smaller preset.

        Returns:
            A message for a person; empty where there is no smaller preset.
        """
        if self._plan is None:
            return ""
        from pipelines.loading.model import plan_step_down

        spec, before = self._plan
        self.unload()
        smaller = plan_step_down(spec, before)
        if smaller is None:
            return ""
        self._plan = (spec, smaller)
        preset = smaller.preset
        return (
            f"Memory ran out, so {spec.title} goes on with memory preset {preset.name} in place of "
            f"{before.preset.name}: {preset.title}. {preset.note} Frames that are done are kept."
        )

    def _character(self, loaded: _LoadedModel) -> SubjectBundle:
        """Return the character bundle of a loaded model, loading it once."""
        if loaded.character is None:
            from pipelines.loading.character import load_character_adapter

            loaded.character = load_character_adapter(
                loaded.spec, loaded.pipeline, loaded.placement
            )
        return loaded.character


def machine_here(options: EngineOptions) -> Machine:
    """Return the memory that a model could take on this machine; imports torch.

    Raises:
        ModelError: if the machine has no such device as the options name.
    """
    import_libraries()
    from pipelines.devices import choose_device, find_machine

    return find_machine(choose_device(options.device))


def fetch_style(source: str, stopped: Callable[[], bool]) -> bool:
    """Download a LoRA where it is not on this machine, and check it; no torch.

    Args:
        source: as in `pipelines.request.StyleLora`.
        stopped: returns whether nobody waits for it any more; asked again and again.

    Returns:
        False where it was stopped.

    Raises:
        ModelError: if there is no such LoRA, or it cannot be fetched or used.
    """
    from pipelines.styles.check import DownloadStopped, check_style

    try:
        check_style(source, stopped)
    except DownloadStopped:
        return False
    return True


def usability(spec: ModelSpec, options: EngineOptions) -> Usability:
    """Find out whether a model can render on this machine; loads torch but no model.

    Memory that this process holds counts as free, since a model is unloaded before another one is
    loaded.
    """
    from huggingface_hub import try_to_load_from_cache

    import_libraries()
    from pipelines.devices import choose_device, held_memory
    from pipelines.loading.folder import check_files
    from pipelines.loading.model import find_fit

    try:
        check_files(spec)
        device = choose_device(options.device)
        found, _, _ = find_fit(spec, device, options.dtype, options.memory, held_memory)
    except UserError as error:
        return Usability(False, f"Does not run here. {error}")
    preset = found.preset.name
    if found.problem and not found.about_memory:
        return Usability(
            False, f"Does not run here with memory preset {preset}, which {found.problem}."
        )
    if found.problem:
        with_preset = "" if preset == "full" else f"with memory preset {preset} "
        even = "even " if with_preset and options.memory == AUTO else ""
        return Usability(False, f"Does not run here: {even}{with_preset}it {found.problem}.")
    where = "CPU" if device.type == "cpu" else "GPU"
    with_preset = "" if preset == "full" else f" with memory preset {preset}"
    words = f"Runs here, on the {where}{with_preset}"
    if spec.kind == "hub" and try_to_load_from_cache(spec.source, "model_index.json") is None:
        size = f" of {spec.download_bytes / 1e9:.0f} GB" if spec.download_bytes else ""
        terms = " and accepting its terms" if spec.gated else ""
        words += f", after a download{size}{terms}"
    return Usability(True, f"{words}.")


def bank_bytes(spec: ModelSpec, itemsize: int, foreground: float) -> tuple[int, int] | None:
    """Count the bytes that a source frame's bank keeps; see `pipelines.sampling.memory`."""
    from pipelines.sampling import memory

    return memory.bank_bytes(spec, itemsize, foreground)


def import_libraries() -> None:
    """Import torch and the libraries around it, once, without their hints in the terminal."""
    limit_threads()
    from pipelines.devices import quiet_libraries

    with quiet_libraries():
        importlib.import_module("pipelines.loading.model")
        importlib.import_module("pipelines.flux1.pipeline")


def _release_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
