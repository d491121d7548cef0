"""Golden vectors of InstantCharacter: whole runs with a subject, and runs with styles."""

from __future__ import annotations

import copy
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from peft.tuners.lora import Linear
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from evaluation.fidelity.instantcharacter_folder import LATENTS, TOKENS, Vectors
from evaluation.fidelity.vectors import Comparison, TimeWaves, largest, stock_latents
from pipelines.consistency.frame_pass import FramePass
from pipelines.consistency.masks import TextLengths
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.flux1.velocity import set_timesteps
from pipelines.instant_character.adapters import Subject, SubjectAdapter, SubjectAdapters
from pipelines.request import ConsistencySettings, StyleLora
from pipelines.sampling.denoiser import FrameInputs, Guidance
from pipelines.sampling.prompt import EncodedPrompt
from pipelines.sampling.schedule import step_plan
from pipelines.styles.lora import style_loras

BASELINE = "pipeline/baseline_no_adapter."
SCHEDULE, DELTAS = 1e-6, 1e-6
# Faults that move the latents by less than twice this also show in single attentions, which have
# no floor.
HIGHEST_FLOOR = 2e-5
_RUN = re.compile(
    r"(?P<picture>\w+)\.scale_(?P<scale>\d+\.\d+)"
    r"(?:\.(?P<only>double|single)_blocks_only|\.true_cfg_(?P<guidance>\d+\.\d+))?"
)
_RECORDED = re.compile(
    rf"(?P<run>{_RUN.pattern})\.(?P<what>final|\w+_per_step|step0_blocks\.[\w.]+)"
)
_STYLED = re.compile(
    rf"(?P<style>\w+)\.weight_(?P<weight>\d+\.\d+)\.(?P<run>{_RUN.pattern})\.final"
)
_CHANGED = re.compile(r"(?P<style>\w+)\.delta\.(?P<module>.+)\.weight(?P<row>\.row0)?")


@dataclass(frozen=True)
class RecordedRun:
    """Tensors of one run.

    Attributes:
        latents: after every step, shape (steps, 1, tokens, channels).
        predicted: the transformer's predictions at every step, in both branches of the guidance,
            shape (steps, branches, tokens, channels).
        blocks: every block's output at the first step, by "double.0.hidden_states".
        tokens: subject tokens of every step, shape (steps, 1, queries, channels); None without
            a subject.
    """

    latents: Tensor
    predicted: Tensor
    blocks: dict[str, Tensor]
    tokens: Tensor | None = None

    def get(self, recorded: str) -> Tensor | None:
        """Return the tensor of a recorded name, or None where the name is not known."""
        known = {
            "final": self.latents[-1],
            "latents_per_step": self.latents,
            "noise_pred_per_step": self.predicted,
            "noise_pred_pos_neg_per_step": self.predicted,
            "ip_tokens_per_step": self.tokens,
        }
        return known.get(recorded, self.blocks.get(recorded.removeprefix("step0_blocks.")))


class OutputHooks:
    """Hooks that keep a transformer's output at every call, and its blocks' at the first."""

    def __init__(self, transformer: FluxTransformer2DModel) -> None:
        self.predicted: list[Tensor] = []
        self.blocks: dict[str, Tensor] = {}
        self._hooks = [transformer.register_forward_hook(self._note_whole)]
        lists = (transformer.transformer_blocks, transformer.single_transformer_blocks)
        for kind, blocks in zip(("double", "single"), lists, strict=True):
            for number, block in enumerate(blocks):
                note = partial(self._note_block, f"{kind}.{number}")
                self._hooks.append(block.register_forward_hook(note))

    def __enter__(self) -> OutputHooks:
        return self

    def __exit__(self, *fault: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _note_whole(self, module: nn.Module, inputs: Any, out: tuple[Tensor, ...]) -> None:
        self.predicted.append(out[0])

    def _note_block(self, name: str, _: nn.Module, inputs: Any, out: tuple[Tensor, Tensor]) -> None:
        text, image = out
        if name.startswith("single"):
            self.blocks.setdefault(f"{name}.hidden_states", torch.cat([text, image], dim=1))
        else:
            self.blocks.setdefault(f"{name}.hidden_states", image)
            self.blocks.setdefault(f"{name}.encoder_hidden_states", text)


class SubjectRuns:
    """Runs of the recorded inputs, with subjects from the recorded pictures."""

    def __init__(self, vectors: Vectors) -> None:
        self.settings: dict[str, Any] = vectors.manifest["run_settings"]
        self.size = self.settings["height"], self.settings["width"]
        self.vectors = vectors
        self.pipeline: FluxStoryboardPipeline = vectors.pipeline
        self.latents = vectors.read("pipeline", "inputs.latents")
        self.prompt = self._prompt("")
        self.negative = self._prompt("negative_")
        self.waves = TimeWaves(self.pipeline.transformer)
        # Predictions of stock FluxPipeline, which runs at scale 0 equal to the bit.
        self._stock = vectors.matching("pipeline", r".+\.scale_0\.0\.noise_pred_per_step")
        if self._stock:
            predicted = vectors.read("pipeline", self._stock[0][0])
            self.waves.fit(lambda: self._stock_run(steps=1).predicted[0], predicted[0])

    def _prompt(self, start: str) -> EncodedPrompt:
        embeds = self.vectors.read("pipeline", f"inputs.{start}prompt_embeds")
        pooled = self.vectors.read("pipeline", f"inputs.{start}pooled_prompt_embeds")
        return EncodedPrompt(embeds, pooled, TextLengths(0, embeds.shape[1]))

    def run(self, described: str) -> RecordedRun:
        """Run the pipeline as a recorded name says, such as "square.scale_0.8.true_cfg_2.0"."""
        found = _RUN.fullmatch(described)
        assert found is not None
        tokens = self.vectors.weights.tokens(self.vectors.features[found["picture"]])
        subject = Subject(self._adapters(found["only"]), tokens, float(found["scale"]))
        guidance = Guidance(self.settings["guidance_scale"])
        if found["guidance"] is not None:
            strength = float(found["guidance"])
            guidance = Guidance(self.settings["guidance_scale"], strength, self.negative)
        plan = step_plan(self.settings["steps"], ConsistencySettings())
        grain = self.settings["vae_scale_factor"] * 2
        grid = self.size[0] // grain, self.size[1] // grain
        blocks = len(self.pipeline.transformer.single_transformer_blocks)
        frame_pass = FramePass(plan, self.prompt.text, grid, blocks, self.latents.device)
        inputs = FrameInputs(self.prompt, self.latents, grid)
        running = self.pipeline.denoise(inputs, frame_pass, guidance, plan.steps, subject)
        with OutputHooks(self.pipeline.transformer) as watch, closing(running):
            latents = list(running)
        with torch.no_grad():
            used = [tokens(timestep[None]) for timestep in self.pipeline.scheduler.timesteps]
        return self._run(latents, watch, torch.stack(used))

    def _run(
        self, latents: list[Tensor], watch: OutputHooks, tokens: Tensor | None = None
    ) -> RecordedRun:
        predicted = torch.cat(watch.predicted)
        predicted = predicted.reshape(len(latents), -1, *predicted.shape[1:])
        return RecordedRun(torch.stack(latents), predicted, watch.blocks, tokens)

    def _adapters(self, only: str | None) -> SubjectAdapters:
        """Return the adapters, without effect outside the kind of blocks that `only` names."""
        adapters = self.vectors.weights.adapters
        if only is None:
            return adapters
        adapters = copy.deepcopy(adapters)
        doubles = len(self.pipeline.transformer.transformer_blocks)
        for adapter in adapters[doubles:] if only == "double" else adapters[:doubles]:
            assert isinstance(adapter, SubjectAdapter)
            adapter.to_v_ip.weight.zero_()
            adapter.to_v_ip.bias.zero_()
        return adapters

    @cached_property
    def plain(self) -> RecordedRun:
        """Run of stock FluxPipeline's own call, none of our code."""
        return self._stock_run()

    def _stock_run(self, steps: int | None = None) -> RecordedRun:
        """Run stock FluxPipeline's own call, or its first steps."""
        latents: list[Tensor] = []

        def keep(
            pipeline: Any, step: int, timestep: Tensor, held: dict[str, Tensor]
        ) -> dict[str, Tensor]:
            if not pipeline.interrupt:
                latents.append(held["latents"])
            pipeline._interrupt = len(latents) == steps
            return {}

        with OutputHooks(self.pipeline.transformer) as watch:
            stock_latents(
                self.pipeline,
                self.prompt,
                self.latents,
                self.size,
                self.settings["steps"],
                self.settings["guidance_scale"],
                callback_on_step_end=keep,
            )
        return self._run(latents, watch)

    def plain_rows(self) -> Iterator[Comparison]:
        """Rows of everything that stock FluxPipeline computes."""
        note = f"stock frequencies rounded as recorded: {self.waves.changed}"
        stock = [found[0] for found in self._stock]
        for name in self.vectors.names("pipeline"):
            start, _, what = name.rpartition(".")
            if start == "baseline_no_adapter" or name in stock:
                ours = self.plain.get(what)
                assert ours is not None
                error = self.vectors.error("pipeline", name, ours)
                yield Comparison(f"{BASELINE}{what}", error, LATENTS, HIGHEST_FLOOR, note)

    @cached_property
    def floor(self) -> float:
        """Error of stock FluxPipeline alone on this processor, at most `HIGHEST_FLOOR`."""
        return min(HIGHEST_FLOOR, max(row.error for row in self.plain_rows()))


@lru_cache(maxsize=1)
def runs_of(vectors: Vectors) -> SubjectRuns:
    """Return the runs of a folder, whose frequencies are fitted once."""
    return SubjectRuns(vectors)


def pipeline_rows(vectors: Vectors) -> Iterator[Comparison]:
    """Rows of the schedule, of the picture without a subject and of all runs with one."""
    runs = runs_of(vectors)
    scheduler, latents = runs.pipeline.scheduler, runs.latents
    timesteps = set_timesteps(scheduler, latents.shape[1], runs.settings["steps"], latents.device)
    schedule = {"timesteps": timesteps, "sigmas": scheduler.sigmas}
    for name, ours in schedule.items():
        theirs = vectors.read("pipeline", f"scheduler.{name}")
        error = largest(ours / ours.max(), theirs / theirs.max())
        yield Comparison(f"pipeline/scheduler.{name}", error, SCHEDULE)
    yield from runs.plain_rows()

    recorded: dict[str, list[str]] = defaultdict(list)
    for found in vectors.matching("pipeline", _RECORDED):
        recorded[found["run"]].append(found["what"])
    for described, tensors in recorded.items():
        run, floor = runs.run(described), runs.floor * amplified(described)
        for what in tensors:
            name = f"{described}.{what}"
            ours = run.get(what)
            if ours is not None:
                error = vectors.error("pipeline", name, ours)
                limits = (TOKENS, 0.0) if what == "ip_tokens_per_step" else (LATENTS, floor)
                yield Comparison(f"pipeline/{name}", error, *limits)


def amplified(described: str) -> float:
    """Return the largest amplification of two branches' errors by guidance g: 2 g - 1."""
    found = _RUN.fullmatch(described)
    assert found is not None
    return 1.0 if found["guidance"] is None else 2 * float(found["guidance"]) - 1


@torch.no_grad()
def lora_rows(vectors: Vectors) -> Iterator[Comparison]:
    """Rows of the weight changes of styles, and of the runs with them.

    Where a file in diffusers' format gives a layer an alpha, the recorded loader ignored it and
    PEFT applies it: the change of such a layer is compared with the recorded one times
    alpha/rank, and the run is compared without the alphas.
    """
    runs = runs_of(vectors)
    changes = vectors.matching("lora", _CHANGED)
    pipeline = runs.pipeline
    pipeline.register_modules(text_encoder=_text_encoder(changes, vectors))
    for found in vectors.matching("lora", _STYLED):
        style, weight = found["style"], float(found["weight"])
        path = vectors.folder / "lora" / f"style_{style}.safetensors"
        ratios = _ignored_ratios(path)
        with style_loras(pipeline, [StyleLora(str(path), weight)]):
            for change in (one for one in changes if one["style"] == style):
                ratio = ratios.get(change["module"], 1.0)
                theirs = ratio * vectors.read("lora", change[0])
                ours = _change(pipeline, change["module"])
                ours = ours[0] if change["row"] else ours
                note = f"recorded times alpha/rank {ratio:g}: PEFT honours it" * (ratio != 1)
                yield Comparison(f"lora/{change[0]}", largest(ours, theirs), DELTAS, note=note)
        with ExitStack() as stack:
            if ratios:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                kept = {k: v for k, v in load_file(path).items() if not k.endswith(".alpha")}
                path = folder / path.name
                save_file(kept, path)
            stack.enter_context(style_loras(pipeline, [StyleLora(str(path), weight)]))
            latents = runs.run(found["run"]).latents[-1]
        note = "without the file's alphas, which PEFT honours" * bool(ratios)
        error = vectors.error("lora", found[0], latents)
        floor = runs.floor * amplified(found["run"])
        yield Comparison(f"lora/{found[0]}", error, LATENTS, floor, note)


def _ignored_ratios(path: Path) -> dict[str, float]:
    """Return alpha/rank of the layers to which a file in diffusers' format gives an alpha."""
    tensors = load_file(path)
    return {
        name.removesuffix(".alpha"): float(alpha) / tensors[f"{name[:-6]}.lora_A.weight"].shape[0]
        for name, alpha in tensors.items()
        if name.endswith(".alpha") and f"{name[:-6]}.lora_A.weight" in tensors
    }


def _change(pipeline: FluxStoryboardPipeline, module: str) -> Tensor:
    """Return the sum of the changes of a layer's weight by the styles that are loaded."""
    part, _, name = module.partition(".")
    model = getattr(pipeline, part)
    names = dict(model.named_modules())
    layer = names.get(name) or names[name.removeprefix("text_model.")]
    assert isinstance(layer, Linear)
    changes = [layer.get_delta_weight(style) for style in layer.active_adapters]
    return torch.stack(changes).sum(0)


def _text_encoder(changes: list[re.Match[str]], vectors: Vectors) -> CLIPTextModel | None:
    """Make a CLIP text encoder with the changed layers; its weights do not matter."""
    shapes: dict[str, torch.Size] = {
        change["module"]: vectors.read("lora", change[0]).shape
        for change in changes
        if change["module"].startswith("text_encoder.")
    }
    if not shapes:
        return None
    layers = [int(found) for name in shapes for found in re.findall(r"\.layers\.(\d+)\.", name)]
    inner = [shape[0] for name, shape in shapes.items() if name.endswith("fc1")]
    width = next(shape[1] for name, shape in shapes.items() if not name.endswith("fc2"))
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=8,
            hidden_size=width,
            intermediate_size=inner[0] if inner else 4 * width,
            num_hidden_layers=max(layers) + 1,
            num_attention_heads=2,
            bos_token_id=0,
            eos_token_id=1,
        )
    ).eval()
