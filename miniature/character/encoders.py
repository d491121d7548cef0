"""Training of the small SigLIP and DINOv2.

SigLIP's patches vote for the character's looks, the values that prompts can state. (The words of
the drawn world are a closed list, so this classification replaces the contrast with texts.)
DINOv2's patches predict the part that they show, and their mean the identity: of all references of
a step, the one of the same character in another picture is to be nearest. Both see whole references
and crops of enlarged ones, as at inference.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    BitImageProcessorPil,
    Dinov2Config,
    Dinov2Model,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from miniature.character.encoder_batches import LOOKS, EncoderBatch, EncoderBatchSource
from miniature.character.recipe import CharacterRecipe, CharacterSizes
from miniature.character.views import normalised
from miniature.judge.batches import UNKNOWN
from miniature.judge.trainer import identity_loss, mean_of_known
from miniature.world.vocabulary import Part
from pipelines.instant_character.encoders import SubjectEncoders
from training.attention import quick_attention
from training.loop import Trainer
from training.weights import MasterWeights

_EMBEDDING = 64
_GROUND_WEIGHT = 0.3  # of the patches that show no figure, against those that do
_MEASURED = 64  # held-out characters


def build_encoders(sizes: CharacterSizes) -> SubjectEncoders:
    """Build encoders; their processors normalise as the published ones do."""
    siglip = SiglipVisionModel(
        SiglipVisionConfig(
            image_size=sizes.side,
            patch_size=sizes.patch,
            hidden_size=sizes.width,
            intermediate_size=4 * sizes.width,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.encoder_heads,
            hidden_act="gelu",  # the published tanh form costs a CPU three times as much
            vision_use_head=False,
        )
    )
    dino = Dinov2Model(
        Dinov2Config(
            image_size=sizes.side,
            patch_size=sizes.patch,
            hidden_size=sizes.width,
            mlp_ratio=4,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.encoder_heads,
            use_swiglu_ffn=True,
            use_mask_token=False,
        )
    )
    side = {"height": sizes.side, "width": sizes.side}
    return SubjectEncoders(
        siglip,
        dino,
        SiglipImageProcessorPil(size=side),
        BitImageProcessorPil(
            do_resize=True,
            size={"shortest_edge": sizes.side},
            crop_size=side,
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.229, 0.224, 0.225],
        ),
        sizes.encoder,
    )


class LabelHeads(nn.Module):
    """Linear heads that predict the labels from patches; used in training only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.looks = nn.Linear(width, sum(map(len, LOOKS.values())))
        self.parts = nn.Linear(width, len(Part))
        self.identity = nn.Linear(width, _EMBEDDING)

    def votes(self, patches: Tensor) -> list[Tensor]:
        """Return scores of each look's values, (n, values) each, from the patches' votes."""
        together = self.looks(patches).float().logsumexp(1)
        return list(together.split([len(values) for values in LOOKS.values()], 1))

    def embedding(self, patches: Tensor) -> Tensor:
        """Return the embedding of the identity, of unit length, shape (n, 64)."""
        return F.normalize(self.identity(patches.mean(1)).float(), dim=-1)


class EncoderTrainer(Trainer):
    """Process `rank` of the encoders' training, of `world_size` that train together."""

    def __init__(
        self,
        recipe: CharacterRecipe,
        source: EncoderBatchSource,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        torch.manual_seed(5)
        self.recipe, self._source, self._device = recipe, source, device
        self.encoders = build_encoders(recipe.sizes).to(device).train()
        self.heads = LabelHeads(recipe.sizes.width).to(device)
        weights = MasterWeights(
            nn.ModuleDict({"encoders": self.encoders, "heads": self.heads}),
            lambda name, _: ".layer" in name,
            recipe.muon_rate,
            recipe.adam_rate,
            world_size,
        )
        schedule = replace(
            recipe,
            minutes=recipe.encoder_minutes,
            steps=recipe.encoder_steps,
            batch=recipe.encoder_batch,
        )
        loss_weights = {"parts": recipe.part_weight, "identity": recipe.identity_weight}
        super().__init__(schedule, weights, None, loss_weights, rank, world_size)

    def losses(self, batch: EncoderBatch) -> dict[str, Tensor]:
        """Compute the losses of a batch."""
        looks = self.heads.votes(self._siglip_patches(batch.pictures))
        patches = self._dino_patches(batch.pictures)
        embedding = self.heads.embedding(patches[: len(batch.identity)])
        return {
            "looks": mean_of_known(zip(looks, batch.looks.unbind(1), strict=True)),
            "parts": part_loss(self.heads.parts(patches), batch.parts),
            "identity": identity_loss(embedding, batch.identity),
        }

    def _siglip_patches(self, pictures: Tensor) -> Tensor:
        pixels = normalised(pictures, self.encoders.siglip_processor, self.encoders.siglip.dtype)
        patches: Tensor = self.encoders.siglip(pixels).last_hidden_state
        return patches

    def _dino_patches(self, pictures: Tensor) -> Tensor:
        pixels = normalised(pictures, self.encoders.dino_processor, self.encoders.dino.dtype)
        patches: Tensor = self.encoders.dino(pixels).last_hidden_state[:, 1:]
        return patches

    def rate(self) -> float:
        """Return the rate of the next step, with which the shipped encoders were trained."""
        budget = replace(self.budget, step=self.budget.step + 1)
        return budget.rate(self.recipe.warmup, self.recipe.cooldown)

    def step_losses(self) -> dict[str, Tensor]:
        """Compute the losses of a step."""
        step, references = self.budget.step, self.recipe.encoder_batch
        batch = self._source.training(step, references, self.rank, self.world_size)
        with quick_attention(self._device):
            return self.losses(batch.to(self._device))

    def averaged(self) -> tuple[SubjectEncoders, LabelHeads]:
        """Return encoders and heads with the averaged weights, in float32."""
        encoders = build_encoders(self.recipe.sizes).to(self._device)
        heads = LabelHeads(self.recipe.sizes.width).to(self._device)
        self.weights.copy_average_to(nn.ModuleDict({"encoders": encoders, "heads": heads}))
        return encoders.eval().requires_grad_(False), heads.requires_grad_(False)

    @torch.no_grad()
    def evaluate(self, held_out: EncoderBatchSource) -> dict[str, float]:
        """Evaluate the averaged weights on held-out characters.

        Returns:
            `looks`: accuracy of visible looks, of all and by name; `parts`: accuracy of the parts
            of patches with a figure; `identity`: share of references whose nearest reference in
            another scene is of the same character.
        """
        own = self.encoders, self.heads
        self.encoders, self.heads = self.averaged()
        first, second = (
            held_out.held_out(scene, _MEASURED, rough=True).to(self._device) for scene in (0, 1)
        )
        votes = self.heads.votes(self._siglip_patches(first.pictures))
        named = torch.stack([scores.argmax(-1) for scores in votes], 1)
        seen, right = first.looks != UNKNOWN, named == first.looks
        numbers = {"looks": right[seen].float().mean().item()}
        for number, name in enumerate(LOOKS):
            if seen[:, number].any():
                numbers[name] = right[:, number][seen[:, number]].float().mean().item()
        patches = self._dino_patches(first.pictures)
        shown = first.parts != Part.BACKGROUND
        matching = self.heads.parts(patches).argmax(-1) == first.parts
        numbers["parts"] = matching[shown].float().mean().item()
        count = len(first.identity)
        one = self.heads.embedding(patches[:count])
        other = self.heads.embedding(self._dino_patches(second.pictures[:count]))
        nearest = (one @ other.T).argmax(1)
        itself = torch.arange(count, device=nearest.device)
        numbers["identity"] = (nearest == itself).float().mean().item()
        self.encoders, self.heads = own
        return numbers


def part_loss(scores: Tensor, parts: Tensor) -> Tensor:
    """Cross entropy of the patches' parts; patches without a figure have a smaller weight.

    Args:
        scores: shape (n, patches, parts).
        parts: true labels, int64 of shape (n, patches).
    """
    losses = F.cross_entropy(scores.float().flatten(0, 1), parts.flatten(), reduction="none")
    ground = parts.flatten() == Part.BACKGROUND
    weights = torch.where(ground, _GROUND_WEIGHT, 1.0)
    return (weights * losses).sum() / weights.sum()
