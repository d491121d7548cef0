"""Training of the miniature's FluxTransformer2DModel: flow, guidance, body parts, attention.

Weights are kept in float32 beside a bfloat16 copy that computes. Knows nothing of files.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from miniature.model.attention_statistic import attention_loss, foreground_scores, record_attention
from miniature.model.batches import BatchSource, LatentBatch
from miniature.model.latents import LatentData
from miniature.model.match_statistic import match_loss
from miniature.model.recipe import ModelSizes, Recipe
from miniature.model.text_encoders import TextEncoders
from miniature.world.vocabulary import Part
from training.loop import Trainer
from training.weights import MasterWeights

_HELD_OUT_TIMES = (0.95, 0.85, 0.7, 0.5, 0.3, 0.1)
_MASK_TIME = 0.87  # the noise level after a fifth of 20 steps, where masks are taken
_GUIDANCE = "time_text_embed.guidance_embedder."
_GUIDANCE_OUTPUT = _GUIDANCE + "linear_2"
_DETAILS = (
    Part.FACE, Part.LEFT_UPPER_ARM, Part.LEFT_FOREARM, Part.RIGHT_UPPER_ARM, Part.RIGHT_FOREARM,
    Part.HAND, Part.LEFT_THIGH, Part.LEFT_SHIN, Part.RIGHT_THIGH, Part.RIGHT_SHIN, Part.PROP,
)  # fmt: skip
"""Small parts in which actions and faces differ."""


def build_transformer(sizes: ModelSizes) -> FluxTransformer2DModel:
    """Build a transformer whose modulation, output and guidance start at zero."""
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=sizes.double_blocks,
        num_single_layers=sizes.single_blocks,
        attention_head_dim=sizes.head_dim,
        num_attention_heads=sizes.heads,
        joint_attention_dim=sizes.text_width,
        pooled_projection_dim=sizes.text_width,
        guidance_embeds=True,
        axes_dims_rope=sizes.rope_axes,
    )
    for name, parameter in model.named_parameters():
        modulates = (".linear." in name and "norm" in name) or name.startswith(_GUIDANCE_OUTPUT)
        if modulates or name.startswith(("proj_out", "norm_out")) or name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.ndim == 2:
            nn.init.xavier_uniform_(parameter)
    return model


def start_weights(model: FluxTransformer2DModel, initial: Mapping[str, Tensor]) -> None:
    """Copy weights into a model; only those of the guidance may be missing.

    Raises:
        ValueError: if anything else is missing, left over or of another size.
    """
    state = model.state_dict()
    missing = {name for name in state if name not in initial and not name.startswith(_GUIDANCE)}
    unknown = {
        name for name, t in initial.items() if name not in state or state[name].shape != t.shape
    }
    if missing or unknown:
        raise ValueError(
            f"the weights to start from are of another model: {len(missing)} are missing, "
            f"{len(unknown)} do not fit, such as {min(missing | unknown)}"
        )
    model.load_state_dict({**state, **initial})


def flow_loss(error: Tensor, batch: LatentBatch, recipe: Recipe, plateau: float) -> Tensor:
    """Average the squared errors of velocities over tokens, weighted by `token_weights`.

    Guided targets are longer by the guidance, so their errors are divided by its square.

    Args:
        error: predicted velocity without the target, shape (batch, tokens, 64).
        batch: the samples.
        recipe: weights of the character's tokens and of its details.
        plateau: share of the extra weight that is applied.
    """
    weights = token_weights(batch.parts, recipe, plateau)
    squares = error.square().mean(-1) / batch.guidance[:, None].square()
    return (weights * squares).mean() / weights.mean()


def token_weights(parts: Tensor, recipe: Recipe, plateau: float) -> Tensor:
    """Compute the weight of each token in the flow loss.

    Args:
        parts: share of each part in each token, shape (batch, tokens, parts).
        recipe: weights of the character's tokens and of its details.
        plateau: share of the extra weight that is applied; at 0 all weights are 1.

    Returns:
        Shape (batch, tokens); 1 for background.
    """
    figure = 1 - parts[..., Part.BACKGROUND]
    detail = parts[..., list(_DETAILS)].sum(-1)
    more, most = recipe.foreground_weight - 1, recipe.detail_weight - recipe.foreground_weight
    return 1 + plateau * (more * figure + most * detail)


class TransformerTrainer(Trainer):
    """Process of the transformer's training.

    Args:
        recipe: sizes, weights of the losses, budget.
        data: latents, parts and tokens, one entry for each shape of picture.
        encoders: frozen text encoders.
        device: training device.
        rank, world_size: number of this process, and of all that train together.
        initial: weights to start from; None starts from new weights.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Sequence[LatentData],
        encoders: TextEncoders,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        initial: dict[str, Tensor] | None = None,
    ) -> None:
        self.recipe, self.device = recipe, device
        self._source = BatchSource(data, encoders.to(device), device)
        torch.manual_seed(3)
        model = build_transformer(recipe.sizes)
        if initial is not None:
            start_weights(model, initial)
        self.part_head = nn.Linear(model.inner_dim, len(Part)).to(device)
        self.model = model.to(device).train()
        weights = MasterWeights(
            self.model,
            lambda name, _: "transformer_blocks" in name and "norm" not in name,
            recipe.muon_rate,
            recipe.adam_rate,
            world_size,
            self.part_head,
        )
        loss_weights = {
            name: getattr(recipe, f"{name}_weight") for name in ("part", "attention", "match")
        }
        parts = {"part_head": self.part_head}
        super().__init__(recipe, weights, parts, loss_weights, rank, world_size)
        self._teacher = copy.deepcopy(self.model).eval().requires_grad_(False)
        self._records = record_attention(self.model, recipe.sizes.text_tokens)
        self._features: list[Tensor] = []
        self.model.transformer_blocks[-1].register_forward_hook(
            lambda module, inputs, outputs: self._features.append(outputs[1])
        )
        text = recipe.sizes.text_tokens
        self._outputs: list[Tensor] = []
        for block in self.model.single_transformer_blocks:
            block.attn.register_forward_hook(
                lambda module, inputs, output: self._outputs.append(output[:, text:])
            )

    def draw_batch(self, step: int) -> LatentBatch:
        """Return this process's batch of a step."""
        guiding = self.budget.progress >= self.recipe.guided_from
        guided_share = self.recipe.guided_share if guiding else 0.0
        return self._source.training(step, self.recipe, guided_share, self.rank, self.world_size)

    def predict(self, batch: LatentBatch) -> Tensor:
        """Return the model's velocity for a batch, float32 of shape (batch, tokens, 64)."""
        self._features.clear()
        self._outputs.clear()
        return velocity(self.model, batch)

    @torch.no_grad()
    def targets(self, batch: LatentBatch) -> Tensor:
        """Return the targets of a batch, shape (batch, tokens, 64).

        Without guidance, the target is the data's velocity. With guidance, it is the prediction
        of the averaged weights with classifier-free guidance (Ho & Salimans 2022, eq. 6, with the
        scale counted from 1 as diffusers does): v(empty) + g * (v(prompt) - v(empty)).
        """
        chosen = torch.nonzero(batch.guidance > 1).flatten()
        if not len(chosen):
            return batch.velocity
        self.weights.copy_average_to(self._teacher)
        stated = batch.select(chosen)
        stated = replace(stated, guidance=torch.ones_like(stated.guidance))
        sequence, pooled = self._source.without_prompt()
        empty = replace(
            stated,
            sequence=sequence.expand_as(stated.sequence),
            pooled=pooled.expand_as(stated.pooled),
        )
        without = velocity(self._teacher, empty)
        change = velocity(self._teacher, stated) - without
        guided = without + batch.guidance[chosen, None, None] * change
        return batch.velocity.index_copy(0, chosen, guided)

    def losses(self, batch: LatentBatch) -> dict[str, Tensor]:
        """Compute the losses of a batch."""
        error = self.predict(batch) - self.targets(batch)
        foreground = 1 - batch.parts[..., Part.BACKGROUND]
        plateau = min(1.0, self.budget.left / self.recipe.cooldown)
        scores = self.part_head(self._features[-1].float()).log_softmax(-1)
        background_end, end = batch.lengths.unbind(1)
        return {
            "flow": flow_loss(error, batch, self.recipe, plateau),
            "part": -(batch.parts * scores).sum(-1).mean(),
            "attention": attention_loss(
                self._kept_logits(),
                batch.lengths,
                foreground,
                (background_end > 0) & (end > background_end),
            ),
            "match": match_loss(self._outputs, batch.parts),
        }

    def _kept_logits(self) -> list[Tensor]:
        kept = [record.logits for record in self._records]
        return [logits for logits in kept if logits is not None]

    def step_losses(self) -> dict[str, Tensor]:
        """Compute the losses of a step."""
        batch = self.draw_batch(self.budget.step)
        torch.manual_seed(self.world_size * self.budget.step + self.rank)  # for the match loss
        return self.losses(batch)

    def averaged_model(self) -> FluxTransformer2DModel:
        """Return a model with the averaged weights, float32 on the training device."""
        model = build_transformer(self.recipe.sizes).to(self.device)
        model.load_state_dict(self.weights.average)
        return model.eval()

    @torch.no_grad()
    def evaluate(self, held_out: LatentData) -> dict[str, float]:
        """Evaluate the averaged weights on held-out scenes.

        Returns:
            `held_out_loss`: flow loss over fixed noise levels; `mask_iou`: intersection over
            union of the raw mask statistic and the drawn foreground, noised as at a fifth
            of the steps.
        """
        model, own = self.model, {n: p.detach().clone() for n, p in self.model.named_parameters()}
        model.load_state_dict(self.weights.average)
        source = BatchSource([held_out], self._source.encoders, self.device)
        errors = []
        for level in _HELD_OUT_TIMES:
            batch = source.at_noise_level(level)
            errors.append(F.mse_loss(self.predict(batch), batch.velocity).item())
        batch = source.at_noise_level(_MASK_TIME)
        self.predict(batch)
        mask = foreground_scores(self._kept_logits(), batch.lengths)[-1] >= 0
        iou = _mean_iou(mask, batch.parts[..., Part.BACKGROUND] < 0.5)
        model.load_state_dict(own)
        return {"held_out_loss": sum(errors) / len(errors), "mask_iou": iou}


def velocity(model: FluxTransformer2DModel, batch: LatentBatch) -> Tensor:
    """Predict the velocity with a bfloat16 model, float32 of shape (batch, tokens, 64)."""
    dtype = torch.bfloat16
    predicted: Tensor = model(
        hidden_states=batch.tokens.to(dtype),
        timestep=batch.times.to(dtype),
        guidance=batch.guidance.to(dtype),
        pooled_projections=batch.pooled.to(dtype),
        encoder_hidden_states=batch.sequence.to(dtype),
        txt_ids=torch.zeros(batch.sequence.shape[1], 3, device=batch.tokens.device),
        img_ids=batch.positions,
        return_dict=False,
    )[0]
    return predicted.float()


def _mean_iou(found: Tensor, truth: Tensor) -> float:
    """Average over the samples that have any foreground at all."""
    some = truth.any(1)
    both, either = (found & truth).sum(1), (found | truth).sum(1).clamp(min=1)
    return (both / either)[some].mean().item()
