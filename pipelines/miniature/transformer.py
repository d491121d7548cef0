"""Training of the miniature's FluxTransformer2DModel: rectified flow, body parts, attention.

Weights are kept in float32 beside a bfloat16 copy that computes. The chance of each step comes
from its number alone, so a run that was interrupted goes on exactly as if it had not been.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from diffusers import FluxTransformer2DModel
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.miniature.attention_statistic import (
    attention_loss,
    foreground_scores,
    record_attention,
)
from pipelines.miniature.budget import Budget
from pipelines.miniature.dataset import TOKEN_GRID
from pipelines.miniature.files import load_state, save_state
from pipelines.miniature.latents import LatentData, pack, rows_as_tensor
from pipelines.miniature.recipe import ModelSizes, Recipe
from pipelines.miniature.text_encoders import TextEncoders
from pipelines.miniature.world import Part

_TIME_MEAN, _TIME_SPREAD, _UNIFORM_TIMES = 0.3, 1.1, 0.1
_HELD_OUT_TIMES = (0.95, 0.85, 0.7, 0.5, 0.3, 0.1)
_MASK_TIME = 0.87  # the noise level after a fifth of 20 steps, where masks are taken
_PART_SCALE = 255


def build_transformer(sizes: ModelSizes) -> FluxTransformer2DModel:
    """A new transformer; what modulates and what is put out starts at zero."""
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=sizes.double_blocks,
        num_single_layers=sizes.single_blocks,
        attention_head_dim=sizes.head_dim,
        num_attention_heads=sizes.heads,
        joint_attention_dim=sizes.text_width,
        pooled_projection_dim=sizes.text_width,
        guidance_embeds=False,
        axes_dims_rope=sizes.rope_axes,
    )
    for name, parameter in model.named_parameters():
        modulates = ".linear." in name and "norm" in name
        if modulates or name.startswith(("proj_out", "norm_out")) or name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.ndim == 2:
            nn.init.xavier_uniform_(parameter)
    return model


@dataclass(frozen=True)
class Losses:
    """The parts of the training loss, averaged over a batch."""

    flow: Tensor
    part: Tensor
    attention: Tensor


@dataclass(frozen=True)
class Batch:
    """Samples of one step, on the training device.

    Attributes:
        tokens: noisy latents, shape (batch, kept tokens, 64).
        velocity: what to predict for them, same shape.
        times: noise levels in (0, 1], shape (batch,).
        sequence, pooled: text embeddings.
        parts: share of each part in each token, shape (batch, kept tokens, parts).
        lengths: tokens of background and of all, shape (batch, 2); zeros without a prompt.
        positions: row and column of each token for FLUX, shape (kept tokens, 3).
    """

    tokens: Tensor
    velocity: Tensor
    times: Tensor
    sequence: Tensor
    pooled: Tensor
    parts: Tensor
    lengths: Tensor
    positions: Tensor


def token_positions(device: torch.device) -> Tensor:
    """FLUX's ids of all image tokens, shape (tokens, 3): nothing, row, column."""
    row, column = torch.meshgrid(torch.arange(TOKEN_GRID), torch.arange(TOKEN_GRID), indexing="ij")
    ids = torch.stack([torch.zeros_like(row), row, column], -1)
    return ids.reshape(-1, 3).float().to(device)


class TransformerTrainer:
    """One process of a data-parallel training run.

    Args:
        recipe: sizes, weights of the losses, budget.
        data: latents, parts and tokens.
        encoders: frozen text encoders.
        device: where to train.
        rank, world_size: this process among those that train together.
        initial: weights to start from; None starts anew.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: LatentData,
        encoders: TextEncoders,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        initial: dict[str, Tensor] | None = None,
    ) -> None:
        self.recipe, self.data, self.device = recipe, data, device
        self.rank, self.world_size = rank, world_size
        self.encoders = encoders.to(device)
        self.budget = Budget(recipe.minutes, recipe.steps)
        torch.manual_seed(3)
        model = build_transformer(recipe.sizes)
        if initial is not None:
            model.load_state_dict(initial)
        self.part_head = nn.Linear(model.inner_dim, len(Part)).to(device)
        self.weights = {name: p.detach().float().to(device) for name, p in model.named_parameters()}
        self.average = {name: weight.clone() for name, weight in self.weights.items()}
        self.model = model.to(device, torch.bfloat16).train()
        self._records = record_attention(self.model, recipe.sizes.text_tokens)
        self._features: list[Tensor] = []
        self.model.transformer_blocks[-1].register_forward_hook(
            lambda module, inputs, outputs: self._features.append(outputs[1])
        )
        self._optimizers = self._make_optimizers()

    def _make_optimizers(self) -> list[torch.optim.Optimizer]:
        matrices: list[Tensor] = []
        others: list[Tensor] = list(self.part_head.parameters())
        for name, weight in self.weights.items():
            weight.requires_grad_()
            inside = "transformer_blocks" in name and "norm" not in name
            (matrices if inside and weight.ndim == 2 else others).append(weight)
        rates = self.recipe
        return [
            torch.optim.Muon(
                matrices,
                lr=rates.muon_rate,
                weight_decay=0.01,
                momentum=0.95,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(others, lr=rates.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    # ------------------------------------------------------------------ samples
    @torch.no_grad()
    def draw_batch(self, step: int) -> Batch:
        """This process's samples of a step; they depend on the step's number alone."""
        recipe, data, device = self.recipe, self.data, self.device
        rng = np.random.default_rng((3, step))
        mine = slice(self.rank, None, self.world_size)
        scenes = rng.integers(0, len(data.latents), recipe.batch)[mine]
        wordings = rng.integers(0, data.wordings, recipe.batch)[mine]
        silent = (rng.random(recipe.batch) < recipe.empty_prompts)[mine]
        normal = rng.normal(_TIME_MEAN, _TIME_SPREAD, recipe.batch)
        uniform = rng.random(recipe.batch) < _UNIFORM_TIMES
        levels = np.where(uniform, rng.random(recipe.batch), 1 / (1 + np.exp(-normal)))[mine]
        kept = np.sort(rng.permutation(TOKEN_GRID**2)[: self._tokens_kept()])
        noise_seed = int(rng.integers(2**62)) + self.rank
        clean = pack(rows_as_tensor(data.latents, scenes).float())[:, kept].to(device)
        generator = torch.Generator(device).manual_seed(noise_seed)
        noise = torch.randn(clean.shape, generator=generator, device=device)
        times = torch.from_numpy(levels).float().clamp(1e-3, 1.0).to(device)
        sequence, pooled, lengths = self._texts(data, scenes * data.wordings + wordings, silent)
        parts = rows_as_tensor(data.parts, scenes)[:, kept].to(device).float() / _PART_SCALE
        return Batch(
            tokens=torch.lerp(clean, noise, times[:, None, None]),
            velocity=noise - clean,
            times=times,
            sequence=sequence,
            pooled=pooled,
            parts=parts,
            lengths=lengths,
            positions=token_positions(device)[torch.from_numpy(kept).to(device)],
        )

    def _tokens_kept(self) -> int:
        dropping = self.budget.progress < self.recipe.dropping_share
        share = self.recipe.kept_tokens if dropping else 1.0
        return round(share * TOKEN_GRID**2)

    def _texts(
        self, data: LatentData, rows: NDArray[np.int64], silent: NDArray[np.bool_]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings and token counts of prompts, some of them replaced by the empty prompt."""
        rows = np.where(silent, len(data.t5_ids) - 1, rows)
        t5_ids = rows_as_tensor(data.t5_ids, rows).long().to(self.device)
        clip_ids = rows_as_tensor(data.clip_ids, rows).long().to(self.device)
        lengths = rows_as_tensor(data.lengths, rows).long().to(self.device)
        sequence, pooled = self.encoders.encode(clip_ids, t5_ids)
        return sequence, pooled, lengths

    # ------------------------------------------------------------------ a step
    def predict(self, batch: Batch) -> Tensor:
        """The model's velocity for a batch, float32 of shape (batch, kept tokens, 64)."""
        self._features.clear()
        dtype = torch.bfloat16
        velocity: Tensor = self.model(
            hidden_states=batch.tokens.to(dtype),
            timestep=batch.times.to(dtype),
            pooled_projections=batch.pooled.to(dtype),
            encoder_hidden_states=batch.sequence.to(dtype),
            txt_ids=torch.zeros(batch.sequence.shape[1], 3, device=self.device),
            img_ids=batch.positions,
            return_dict=False,
        )[0]
        return velocity.float()

    def losses(self, batch: Batch) -> Losses:
        """The parts of the loss of a batch."""
        error = (self.predict(batch) - batch.velocity).square().mean(-1)
        foreground = 1 - batch.parts[..., Part.BACKGROUND]
        plateau = min(1.0, self.budget.left / self.recipe.cooldown)
        extra = (self.recipe.foreground_weight - 1) * plateau
        weights = 1 + extra * foreground
        scores = self.part_head(self._features[-1].float()).log_softmax(-1)
        background_end, end = batch.lengths.unbind(1)
        return Losses(
            flow=(weights * error).mean() / weights.mean(),
            part=-(batch.parts * scores).sum(-1).mean(),
            attention=attention_loss(
                self._kept_logits(),
                batch.lengths,
                foreground,
                (background_end > 0) & (end > background_end),
            ),
        )

    def _kept_logits(self) -> list[Tensor]:
        kept = [record.logits for record in self._records]
        return [logits for logits in kept if logits is not None]

    def step(self) -> Losses:
        """Train on one batch."""
        recipe, budget = self.recipe, self.budget
        rate = budget.rate(recipe.warmup, recipe.cooldown)
        for optimizer, peak in zip(
            self._optimizers, (recipe.muon_rate, recipe.adam_rate), strict=True
        ):
            for group in optimizer.param_groups:
                group["lr"] = peak * rate
        losses = self.losses(self.draw_batch(budget.step))
        total = (
            losses.flow
            + recipe.part_weight * losses.part
            + recipe.attention_weight * losses.attention
        )
        total.backward()
        self._gather_gradients()
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        budget.step += 1
        self._publish(min(recipe.ema_decay, (budget.step + 1) / (budget.step + 20)))
        return losses

    def tick(self) -> None:
        """Let time pass in the budget: the first process's clock counts for all."""
        self.budget.tick()
        if self.world_size > 1:
            seconds = torch.tensor(self.budget.seconds, dtype=torch.float64)
            dist.broadcast(seconds, 0)
            self.budget.seconds = seconds.item()

    def _gather_gradients(self) -> None:
        """Average gradients over processes, clip them, and give them to the float32 weights."""
        copies = dict(self.model.named_parameters())
        pairs = [(weight, copies[name]) for name, weight in self.weights.items()]
        pairs += [(weight, weight) for weight in self.part_head.parameters()]
        sizes = [weight.numel() for weight, _ in pairs]
        flat = torch.cat(
            [
                torch.zeros_like(weight).flatten()
                if copy.grad is None
                else copy.grad.float().flatten()
                for weight, copy in pairs
            ]
        )
        if self.world_size > 1:
            dist.all_reduce(flat)
            flat /= self.world_size
        flat /= flat.norm().clamp(min=1.0)
        for (weight, copy), gradient in zip(pairs, flat.split(sizes), strict=True):
            copy.grad = None
            weight.grad = gradient.view_as(weight)

    @torch.no_grad()
    def _publish(self, decay: float) -> None:
        """Copy the weights to the computing model and let their average follow."""
        weights = [weight.detach() for weight in self.weights.values()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)
        for parameter, weight in zip(self.model.parameters(), weights, strict=True):
            parameter.copy_(weight)

    # ------------------------------------------------------------------ results
    def averaged_model(self) -> FluxTransformer2DModel:
        """A model with the averaged weights, float32 on the training device."""
        model = build_transformer(self.recipe.sizes).to(self.device)
        model.load_state_dict(self.average)
        return model.eval()

    @torch.no_grad()
    def evaluate(self, held_out: LatentData) -> dict[str, float]:
        """Numbers of the averaged weights on scenes that were never trained on.

        Returns:
            `held_out_loss`: flow loss over fixed noise levels; `mask_iou`: intersection over
            union of the raw mask statistic and the drawn foreground, noised as at a fifth
            of the steps.
        """
        model, own = self.model, {n: p.detach().clone() for n, p in self.model.named_parameters()}
        model.load_state_dict(self.average)
        rows = np.arange(len(held_out.latents))
        sequence, pooled, lengths = self._texts(held_out, rows, np.zeros(len(rows), np.bool_))
        clean = pack(rows_as_tensor(held_out.latents, rows).float()).to(self.device)
        parts = rows_as_tensor(held_out.parts, rows).to(self.device).float() / _PART_SCALE
        generator = torch.Generator().manual_seed(4)
        noise = torch.randn(clean.shape, generator=generator).to(self.device)
        errors, iou = [], 0.0
        for level in (*_HELD_OUT_TIMES, _MASK_TIME):
            batch = Batch(
                tokens=torch.lerp(clean, noise, level),
                velocity=noise - clean,
                times=torch.full((len(rows),), level, device=self.device),
                sequence=sequence,
                pooled=pooled,
                parts=parts,
                lengths=lengths,
                positions=token_positions(self.device),
            )
            errors.append(F.mse_loss(self.predict(batch), batch.velocity).item())
            if level == _MASK_TIME:
                mask = foreground_scores(self._kept_logits(), lengths)[-1] >= 0
                iou = _mean_iou(mask, 1 - parts[..., Part.BACKGROUND] > 0.35)
        model.load_state_dict(own)
        return {"held_out_loss": sum(errors[:-1]) / len(_HELD_OUT_TIMES), "mask_iou": iou}

    def save(self, path: Path) -> None:
        """Write everything that `load` needs to go on exactly."""
        save_state(
            path,
            {
                "weights": {name: weight.detach() for name, weight in self.weights.items()},
                "average": self.average,
                "part_head": self.part_head.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
                "step": self.budget.step,
                "seconds": self.budget.seconds,
            },
        )

    def load(self, path: Path) -> None:
        """Go on where `save` was called."""
        state = load_state(path)
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state["weights"][name])
                self.average[name].copy_(state["average"][name])
            for parameter, weight in zip(
                self.model.parameters(), self.weights.values(), strict=True
            ):
                parameter.copy_(weight)
        self.part_head.load_state_dict(state["part_head"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.budget.step = state["step"]
        self.budget.seconds = state["seconds"]


def _mean_iou(found: Tensor, truth: Tensor) -> float:
    """Mean over the samples that have any foreground at all."""
    some = truth.any(1)
    both, either = (found & truth).sum(1), (found | truth).sum(1).clamp(min=1)
    return (both / either)[some].mean().item()
