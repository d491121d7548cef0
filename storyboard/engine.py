"""The sole crossing to the imaging engine: loads models and paints requests.

torch is imported when the first model is loaded, not before, so that opening the app does not
wait for it. On a ZeroGPU Space the painting runs in a process that is lent a GPU.
"""

from __future__ import annotations

import gc
import importlib.util
import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.events import PipelineEvent
from pipelines.registry import MINIATURE, ModelSpec, UnknownModelError, find_model
from pipelines.request import RenderRequest
from pipelines.scores import PaintedRow, Scores
from pipelines.suite import Suite
from storyboard.errors import ModelError, OutOfMemoryError, UserError
from storyboard.jobs import ModelLoading
from storyboard.settings import Settings

if TYPE_CHECKING:
    from pipelines.flux_storyboard import FluxStoryboardPipeline

# What torch's allocators for the GPU, for Metal and for the CPU say when there is no more.
_MEMORY_SIGNS = ("out of memory", "allocate memory", "not enough memory")
# A ZeroGPU's time: for one step of FLUX.1 at 1024 x 1024 with room to spare, and for the start.
_SECONDS_PER_STEP = 0.6
_SECONDS_TO_START = 30.0
_NATIVE_PIXELS = 1024 * 1024
# Looks at evaluated pictures; knows the miniature's drawn world.
JUDGE = Path(MINIATURE.source) / "judge"

Painting = Generator[PipelineEvent | UserError, None, None]


class Engine:
    """Paints requests with the models that they name; keeps the last model loaded.

    For one thread at a time.

    Args:
        settings: on which device and in which number format to paint.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: tuple[ModelSpec, FluxStoryboardPipeline] | None = None
        self._paint_where_the_gpu_is = _on_lent_gpu(self._paint)

    def render(self, request: RenderRequest) -> Generator[PipelineEvent | ModelLoading, None, None]:
        """Paint a request.

        Closing the generator stops the painting within one step and puts everything back.

        Yields:
            A `ModelLoading` where the model has to be loaded first, then what
            `FluxStoryboardPipeline.stream` reports.

        Raises:
            ModelError: if the model cannot be loaded.
            OutOfMemoryError: if the model or the render does not fit into memory.
        """
        spec = _spec(request.model)
        if self._loaded is None or self._loaded[0] != spec:
            yield ModelLoading(spec.title)
            self._pipeline(spec)
        painting = self._paint_where_the_gpu_is(request)
        try:
            for event in painting:
                if isinstance(event, UserError):
                    raise event
                yield event
        finally:
            painting.close()

    def describe(self) -> str:
        """The loaded model and where it runs, "FLUX.1 [dev] on cuda, bfloat16"; empty before."""
        if self._loaded is None:
            return ""
        spec, pipeline = self._loaded
        # `pipeline.device` is where the weights wait, which offloading makes the host's memory.
        device, dtype = pipeline._execution_device, str(pipeline.dtype).removeprefix("torch.")
        return f"{spec.title} on {device.type}, {dtype}"

    def _paint(self, request: RenderRequest) -> Painting:
        """Paint; a fault for a person is yielded, since a raised one loses its words on the way
        back from a ZeroGPU's process."""
        spec = _spec(request.model)
        try:
            pipeline = self._pipeline(spec)
            yield from pipeline.stream(request, max_sequence_length=spec.max_sequence_length)
        except UserError as error:
            yield error
        except (RuntimeError, MemoryError) as error:
            if not _is_about_memory(error):
                raise
            yield OutOfMemoryError(
                f"The memory does not suffice to paint with {spec.title} at this size.",
                "Choose a smaller size or model, or close what else uses the memory.",
            )

    def _pipeline(self, spec: ModelSpec) -> FluxStoryboardPipeline:
        if self._loaded is not None and self._loaded[0] == spec:
            return self._loaded[1]
        # torch's threads would spin while they wait for one another, which makes painting ten
        # times slower where anything else, such as the browser, wants the same cores. OpenMP reads
        # this once, when torch is first imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from pipelines.loading import LoadingError, load_pipeline

        if self._loaded is not None:
            # The old model goes first: two of them seldom fit.
            self._loaded = None
            _free_memory()
        try:
            pipeline = load_pipeline(spec, self._settings.device, self._settings.dtype)
        except LoadingError as error:
            kind = OutOfMemoryError if error.reason == "memory" else ModelError
            raise kind(error.problem, error.remedy) from error
        self._loaded = (spec, pipeline)
        return pipeline


def usability(spec: ModelSpec, settings: Settings) -> str:
    """Whether a model can paint on this machine, in a few words; loads torch but no model."""
    from huggingface_hub import try_to_load_from_cache

    from pipelines.loading import LoadingError, choose_device, plan_placement

    try:
        placement = plan_placement(spec, choose_device(settings.device), settings.dtype)
    except LoadingError as error:
        return f"no: {error.problem}"
    answer = f"yes, on {placement.device.type}"
    if placement.offload:
        answer += ", its parts one at a time"
    if spec.kind == "hub" and try_to_load_from_cache(spec.source, "model_index.json") is None:
        size = f"{spec.weights_bytes / 1e9:.0f} GB"
        answer += f", after accepting its terms and downloading {size}"
    return answer


def evaluate(
    suite: Suite,
    rows: Sequence[PaintedRow],
    prompts: PaintedRow | None,
    report: Callable[[str], None],
) -> Scores:
    """Score painted pictures of an evaluation suite.

    Args:
        suite: what the pictures should show.
        rows: the ways in which its characters were painted; gains are over the first.
        prompts: the pictures of its single prompts, if there are any.
        report: told what is being done, in a few words.

    Raises:
        ModelError: if the judge that looks at the pictures cannot be loaded.
    """
    from pipelines.metrics.eyes import judge_accuracy
    from pipelines.metrics.scoring import score
    from pipelines.miniature.judge import load_judge

    try:
        judge, accuracy = load_judge(JUDGE), judge_accuracy(JUDGE)
    except (OSError, ValueError) as error:
        raise ModelError(f"The judge in {JUDGE} cannot be loaded: {error}.") from error
    return score(suite, rows, prompts, judge, accuracy, report)


def _spec(model: str) -> ModelSpec:
    try:
        return find_model(model)
    except UnknownModelError as error:
        raise ModelError(str(error)) from error


def _is_about_memory(error: RuntimeError | MemoryError) -> bool:
    words = str(error).casefold()
    return isinstance(error, MemoryError) or any(sign in words for sign in _MEMORY_SIGNS)


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _on_lent_gpu(paint: Callable[[RenderRequest], Painting]) -> Callable[[RenderRequest], Painting]:
    """The same on a ZeroGPU Space's GPU; where the `spaces` package is not there, as it is."""
    if importlib.util.find_spec("spaces") is None:
        return paint
    import spaces

    wrapped: Callable[[RenderRequest], Painting] = spaces.GPU(duration=lent_seconds)(paint)
    return wrapped


def lent_seconds(request: RenderRequest) -> int:
    """For how long to ask for a ZeroGPU: an upper bound of the time that a request takes."""
    pixels = sum(frame.width * frame.height for frame in request.frames)
    # A frame's probe pass adds at most its whole schedule once more.
    steps = 2 * request.steps * (2 if request.true_cfg_scale > 1 else 1)
    return round(_SECONDS_TO_START + _SECONDS_PER_STEP * steps * pixels / _NATIVE_PIXELS)
