"""Golden vectors of CharaConsist, format "characonsist-golden-1".

They hold a tiny random FLUX, inputs, and for each setting every run's latents, masks and matches.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from evaluation.fidelity.vectors import (
    Comparison,
    TimeWaves,
    differing,
    largest,
    pipeline_of,
    relative,
    stock_latents,
)
from pipelines.consistency.bank import Bank
from pipelines.consistency.frame_pass import FramePass
from pipelines.consistency.masks import TextLengths
from pipelines.consistency.plan import StepPlan
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.flux1.velocity import set_timesteps
from pipelines.sampling.denoiser import FrameInputs, Guidance
from pipelines.sampling.prompt import EncodedPrompt

FORMAT = "characonsist-golden-1"
LATENTS, SIMILARITY, ATTENTION, SCHEDULE = 1e-5, 1e-5, 1e-3, 1e-6
# Less than half of the error of the mildest wrong implementation (4.5e-5).
HIGHEST_FLOOR = 2e-5


class Golden:
    """Folder of vectors; equal tensors are stored once and found through the manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())

    def __contains__(self, name: str) -> bool:
        return name in self.manifest["tensors"]

    def __getitem__(self, name: str) -> Tensor:
        entry = self.manifest["tensors"][name]
        with safe_open(self.folder / entry["file"], "pt") as file:
            tensor: Tensor = file.get_tensor(entry["key"])
        return tensor

    def names(self, start: str) -> list[str]:
        """Return all tensor names with this start."""
        return [name for name in self.manifest["tensors"] if name.startswith(start)]

    def pipeline(self) -> FluxStoryboardPipeline:
        """Make our pipeline with the recorded model, in float32."""
        transformer = FluxTransformer2DModel(**self.manifest["model_config"])
        state = load_file(self.folder / "model.safetensors")
        transformer.load_state_dict({name: t.to(torch.float32) for name, t in state.items()})
        scheduler = FlowMatchEulerDiscreteScheduler(**self.manifest["scheduler_config"])
        return pipeline_of(transformer, scheduler)

    def inputs(self, kind: str) -> list[FrameInputs]:
        """Read the inputs of the identity frame and of every frame after it."""
        found = []
        for index, meta in enumerate(self.manifest["inputs"][kind]):
            base = f"inputs/{kind}/{index}"
            embeds, pooled = self[f"{base}/prompt_embeds"], self[f"{base}/pooled_prompt_embeds"]
            prompt = EncodedPrompt(embeds, pooled, TextLengths(meta["bg_len"], meta["real_len"]))
            grid = meta["height"] // 16, meta["width"] // 16
            found.append(FrameInputs(prompt, self[f"{base}/latents"], grid))
        return found


@dataclass(frozen=True)
class FinishedPass:
    """Finished pass: its latents, its state, and the background mask that it reads."""

    latents: Tensor
    frame_pass: FramePass
    background_mask: Tensor


def plan_of(setting: dict[str, Any]) -> StepPlan:
    """Convert the step numbers of a recorded setting to a plan."""
    steps = setting["steps"]
    end = steps["interpolate_end_step"] if setting["use_interpolate"] else 0
    return StepPlan(
        steps=steps["num_inference_steps"],
        share_start=steps["attn_start_step"],
        share_end=steps["attn_end_step"],
        merge_start=steps["interpolate_start_step"],
        merge_decay=steps["interpolate_decay_step"],
        merge_end=max(end, steps["interpolate_start_step"]),
        merge_weight=steps["interpolate_weight"],
        similarity_threshold=steps["sim_thr"],
        mask_step=steps["save_mask_point_step"],
    )


class SettingRun:
    """Passes of one setting: the identity frame's, then every frame's probe and render pass."""

    def __init__(self, golden: Golden, pipeline: FluxStoryboardPipeline, name: str) -> None:
        self.setting: dict[str, Any] = golden.manifest["settings"][name]
        self.plan = plan_of(self.setting)
        self.inputs = golden.inputs(self.setting["inputs"])
        self.guidance = Guidance(self.setting["steps"]["guidance_scale"])
        self.pipeline = pipeline

    def passes(self) -> Iterator[tuple[str, FinishedPass]]:
        """Run every pass; yields each with its recorded name."""
        shares, updates = self.setting["share_bg"], self.setting["update_bg"]
        identity = Bank(self.plan, holds_identity=True, holds_background=shares)
        yield "id", self._pass(0, self.plan.steps, record=identity)
        background = identity
        for frame, starts_background in enumerate(updates):
            sharing = background if shares and not starts_background else None
            banks = {"identity": identity, "background": sharing}
            probe = self._pass(frame + 1, self.plan.probe_steps, **banks)
            held = probe.background_mask if starts_background else ~background.foreground
            yield f"f{frame}.pre", replace(probe, background_mask=held)

            record = None
            if starts_background:
                record = Bank(self.plan, holds_identity=False, holds_background=True)
            matches = probe.frame_pass.matches
            render = self._pass(frame + 1, self.plan.steps, record=record, matches=matches, **banks)
            background = record or background
            yield f"f{frame}.run", replace(render, background_mask=~background.foreground)

    def _pass(self, index: int, steps: int, **banks: Any) -> FinishedPass:
        """Run a pass of a frame; `banks` are those of `FramePass`, and its matches."""
        inputs = self.inputs[index]
        blocks = len(self.pipeline.transformer.single_transformer_blocks)
        frame_pass = FramePass(
            self.plan, inputs.prompt.text, inputs.grid, blocks, inputs.latents.device, **banks
        )
        with closing(self.pipeline.denoise(inputs, frame_pass, self.guidance, steps)) as passing:
            latents = deque(passing, maxlen=1).pop()
        mask = frame_pass.mask
        assert mask is not None
        return FinishedPass(latents, frame_pass, ~mask)


def compare(tensor: str, result: FinishedPass, theirs: Tensor) -> tuple[float, float]:
    """Compute the error and the tolerance of one recorded tensor of a pass.

    Raises:
        ValueError: if the tensor's name is not known.
    """
    state = result.frame_pass
    rows, columns = state.grid

    def grids(masks: list[Tensor]) -> Tensor:
        return torch.stack(masks).view(-1, rows, columns).to(theirs.dtype)

    maps = state.attention_maps
    assert maps is not None
    known: dict[str, Callable[[], tuple[float, float]]] = {
        "latents": lambda: (relative(result.latents, theirs), LATENTS),
        "masks": lambda: (differing(grids(state.masks), theirs), 0),
        "raw_masks": lambda: (differing(grids(state.raw_masks), theirs), 0),
        "fg_mask": lambda: (differing(grids(state.masks[-1:])[0], theirs), 0),
        "id_bg_mask": lambda: (differing(grids([result.background_mask])[0], theirs), 0),
        "bg_attn": lambda: (largest(maps.background.view(state.grid), theirs), ATTENTION),
        "fg_attn": lambda: (largest(maps.foreground.view(state.grid), theirs), ATTENTION),
    }
    if state.similarity is not None and state.matches is not None:
        similarity, matches = state.similarity, state.matches
        known |= {
            "max_sim": lambda: (largest(similarity.similarity, theirs), SIMILARITY),
            "argmax_indices": lambda: (differing(similarity.identity_index, theirs), 0),
            "curr_fg_inds": lambda: (differing(matches.frame_index, theirs.flatten()), 0),
            "id_fg_inds": lambda: (differing(matches.identity_index, theirs.flatten()), 0),
        }
    if tensor not in known:
        raise ValueError(f"the vectors hold {tensor!r}, which is not known here")
    return known[tensor]()


def schedule_rows(golden: Golden, pipeline: FluxStoryboardPipeline) -> Iterator[Comparison]:
    """Rows of the recorded schedules."""
    for name in golden.names("schedule/"):
        _, tokens, steps, tensor = name.split("/")
        cpu = torch.device("cpu")
        timesteps = set_timesteps(pipeline.scheduler, int(tokens), int(steps), cpu)
        ours = pipeline.scheduler.sigmas if tensor == "sigmas" else timesteps
        error = largest(ours / ours.max(), golden[name] / golden[name].max())
        yield Comparison(name, error, SCHEDULE)


def plain_latents(golden: Golden, pipeline: FluxStoryboardPipeline, name: str) -> Tensor:
    """Render a recorded plain picture by FluxPipeline's own call, without any of our code."""
    _, kind, steps, index, _ = name.split("/")
    inputs = golden.inputs(kind)[int(index)]
    size = inputs.grid[0] * 16, inputs.grid[1] * 16
    return stock_latents(pipeline, inputs.prompt, inputs.latents, size, int(steps), 3.5)


def plain_rows(golden: Golden, pipeline: FluxStoryboardPipeline) -> Iterator[Comparison]:
    """Rows of the recorded plain pictures, with the stock frequencies rounded as recorded."""
    names = golden.names("plain/")
    shortest = min(names, key=lambda name: int(name.split("/")[2]))
    waves = TimeWaves(pipeline.transformer)
    waves.fit(lambda: plain_latents(golden, pipeline, shortest), golden[shortest])
    note = f"stock frequencies rounded as recorded: {waves.changed}"
    for name in names:
        error = relative(plain_latents(golden, pipeline, name), golden[name])
        yield Comparison(name, error, LATENTS, HIGHEST_FLOOR - LATENTS, note)


def setting_rows(
    golden: Golden, pipeline: FluxStoryboardPipeline, name: str, floor: float
) -> Iterator[Comparison]:
    """Rows of every recorded tensor of one setting; `floor` is that of the latents."""
    compared: set[str] = set()
    for run, result in SettingRun(golden, pipeline, name).passes():
        for full in golden.names(f"{name}/{run}/"):
            tensor = full.rsplit("/", 1)[1]
            error, tolerance = compare(tensor, result, golden[full])
            compared.add(full)
            yield Comparison(full, error, tolerance, floor if tensor == "latents" else 0.0)
    missing = set(golden.names(f"{name}/")) - compared
    if missing:
        raise ValueError(f"vectors that no run gives: {', '.join(sorted(missing))}")


def characonsist_rows(folder: Path, settings: list[str] | None = None) -> Iterator[Comparison]:
    """Compare every tensor of a folder of vectors; without names of settings, of all of them."""
    golden = Golden(folder)
    pipeline = golden.pipeline()
    yield from schedule_rows(golden, pipeline)
    floor = 0.0
    for row in plain_rows(golden, pipeline):
        floor = max(floor, row.error)
        yield row
    for name in settings or golden.manifest["settings"]:
        yield from setting_rows(golden, pipeline, name, min(floor, HIGHEST_FLOOR))
