"""Training of the judge: its recipe and its losses."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from miniature.judge.attributes import FIGURE_VALUES, SCENE_VALUES
from miniature.judge.batches import UNKNOWN, GroupBatch, GroupSource
from miniature.judge.groups import GROUP
from miniature.judge.network import (
    FinderOutput,
    JudgeNetwork,
    JudgeSizes,
    as_floats,
    crop_figures,
    part_labels,
    widened,
)
from miniature.judge.reading import chosen_figures
from miniature.world.vocabulary import Part
from training.budget import TrainingSchedule
from training.loop import Trainer
from training.weights import TrainedWeights

_TEMPERATURE = 0.1
_ROUGHNESS = 4  # pixels by which a rough mask exceeds its figure
_BETAS, _MOMENTUM = (0.9, 0.98), 0.9


@dataclass(frozen=True)
class JudgeRecipe(TrainingSchedule):
    """Sizes, `TrainingSchedule` and loss weights of a judge.

    Attributes:
        sizes: sizes of its networks.
        groups: number of groups of four pictures.
        batch: groups of four pictures in a step.
        muon_rate: learning rate of the 3 x 3 convolutions.
        adam_rate: learning rate of all other parameters.
        weight_decay: weight decay of both.
        foreground_weight: weight of the loss on the foreground; that on the parts has weight 1.
        attribute_weight: weight of the mean loss on the attributes.
        identity_weight: weight of the loss on the embedding.
    """

    sizes: JudgeSizes = JudgeSizes()
    groups: int = 3000
    minutes: float = 25.0
    batch: int = 4
    muon_rate: float = 0.02
    adam_rate: float = 3e-3
    weight_decay: float = 0.02
    warmup: int = 40
    cooldown: float = 0.6
    ema_decay: float = 0.995
    ema_delay: int = 10
    foreground_weight: float = 3.0
    attribute_weight: float = 5.0
    identity_weight: float = 0.1
    log_every: int = 50
    checkpoint_every: float = 120.0


class JudgeTrainer(Trainer):
    """Training of a judge.

    Muon takes matrices only: it trains views of the convolutions' weights.
    """

    def __init__(self, recipe: JudgeRecipe, source: GroupSource, device: torch.device) -> None:
        torch.manual_seed(0)
        self.recipe, self._source, self._device = recipe, source, device
        network = JudgeNetwork(recipe.sizes, len(Part) - 1, SCENE_VALUES, FIGURE_VALUES)
        self.network = network.to(device).train()
        wide = [
            module.weight
            for module in self.network.modules()
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
        ]
        matrices = [nn.Parameter(weight.detach().flatten(1)) for weight in wide]
        for weight, matrix in zip(wide, matrices, strict=True):
            weight.register_post_accumulate_grad_hook(partial(_move_gradient, matrix))
        known = {id(weight) for weight in wide}
        muon = torch.optim.Muon(matrices, recipe.muon_rate, recipe.weight_decay, momentum=_MOMENTUM)
        adam = torch.optim.AdamW(
            [x for x in self.network.parameters() if id(x) not in known],
            recipe.adam_rate,
            _BETAS,
            weight_decay=recipe.weight_decay,
        )
        super().__init__(
            replace(recipe, batch=GROUP * recipe.batch),
            TrainedWeights(self.network.state_dict(), [muon, adam]),
            loss_weights={
                "foreground": recipe.foreground_weight,
                "attributes": recipe.attribute_weight,
                "identity": recipe.identity_weight,
            },
        )

    def step_losses(self) -> dict[str, Tensor]:
        """Compute the losses of a step: half the batch trains the finder, all of it the reader."""
        step = self.budget.step
        batch = self._source.training(step, self.recipe.batch)
        images = as_floats(batch.images).contiguous(memory_format=torch.channels_last)
        searched = len(images) // 2
        with torch.autocast(self._device.type, torch.bfloat16):
            found = self.network.finder(images[:searched])
            figures, parts = _as_read(found, batch)
            crops, geometry = crop_figures(images, figures, parts, self.recipe.sizes.crop)
            crops = crops.contiguous(memory_format=torch.channels_last)
            described = self.network.reader(crops, geometry)
        return {
            "parts": part_loss(found, batch.parts[:searched], step),
            "foreground": foreground_loss(found, batch.parts[:searched]),
            "attributes": mean_of_known(
                (
                    *zip(found.scene.values(), batch.scene[:searched].unbind(1), strict=True),
                    *zip(described.figure.values(), batch.figure.unbind(1), strict=True),
                )
            ),
            "identity": identity_loss(described.embedding, batch.identity),
        }

    def averaged(self) -> JudgeNetwork:
        """Return a network with the averaged weights."""
        network = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.weights.copy_average_to(network)
        return network


def _move_gradient(matrix: nn.Parameter, weight: Tensor) -> None:
    assert weight.grad is not None
    matrix.grad, weight.grad = weight.grad.flatten(1), None


@torch.no_grad()
def _as_read(found: FinderOutput, batch: GroupBatch) -> tuple[Tensor, Tensor]:
    """Return figures and parts of the batch as the finder predicts them for its first pictures.

    The true ones are returned where the finder was not applied or does not find the figure yet.
    """
    searched = len(found.foreground)
    truth = batch.figures[:searched]
    read = chosen_figures(found.foreground > 0, widened(truth, _ROUGHNESS))
    overlap = (read & truth).sum((1, 2)) / (read | truth).sum((1, 2)).clamp(min=1)
    right = (overlap > 0.5)[:, None, None]
    figures, parts = batch.figures.clone(), batch.parts.clone()
    figures[:searched] = torch.where(right, read, truth)
    parts[:searched] = torch.where(right, part_labels(found), parts[:searched])
    return figures, parts


def part_loss(found: FinderOutput, parts: Tensor, step: int) -> Tensor:
    """Cross entropy of the figures' part labels at half size, at one of four pixels in turn.

    The true labels are uint8 of shape (n, h, w); the number of the step selects the pixel.
    """
    half = parts[:, step // 2 % 2 :: 2, step % 2 :: 2]
    inside = half > 0
    logits = found.parts.permute(0, 2, 3, 1)[inside].float()
    total = F.cross_entropy(logits, half[inside].long() - 1, reduction="sum")
    return total / inside.sum().clamp(min=1)


def foreground_loss(found: FinderOutput, parts: Tensor) -> Tensor:
    """Cross entropy of the foreground at full size."""
    truth = (parts > 0).float()
    return F.binary_cross_entropy_with_logits(found.foreground.float(), truth)


def mean_of_known(pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Mean cross entropy of attributes; UNKNOWN values do not count.

    Args:
        pairs: of each attribute the logits of its values, shape (n, values), and the index of the
            true one, int64 of shape (n,).
    """
    losses = []
    for logits, truth in pairs:
        total = F.cross_entropy(logits.float(), truth, ignore_index=UNKNOWN, reduction="sum")
        losses.append(total / (truth != UNKNOWN).sum().clamp(min=1))
    return torch.stack(losses).mean()


def identity_loss(embedding: Tensor, identity: Tensor) -> Tensor:
    """InfoNCE loss that makes pictures of one character nearest to each other in the batch.

    Args:
        embedding: of unit length, shape (n, d).
        identity: equal for pictures of one character, shape (n,); UNKNOWN equals nothing.

    Returns:
        The mean over the pictures whose character is in another picture; 0 without any.
    """
    itself = torch.eye(len(identity), dtype=torch.bool, device=identity.device)
    same = (identity[:, None] == identity) & (identity != UNKNOWN) & ~itself
    logits = (embedding @ embedding.T / _TEMPERATURE).masked_fill(itself, -torch.inf)
    logarithms = logits.log_softmax(1).masked_fill(~same, 0).sum(1) / same.sum(1).clamp(min=1)
    paired = same.any(1)
    return -(logarithms * paired).sum() / paired.sum().clamp(min=1)
