"""Training of the projector and the adapters beside a frozen transformer.

The loss is the transformer's own flow-matching loss. A sample whose subject has strength 0 would
teach nothing, for then only frozen weights are at work; so every sample has a reference, and what
makes strength and guidance work is learnt otherwise: the adapters start at nothing, a tenth of the
samples has a reference and no prompt (the other branch of classifier-free guidance), and a part
learns guidance from the averaged weights.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from miniature.character.pairs import PairBatch, PairSource, Phase, phase_at
from miniature.character.recipe import CharacterRecipe
from miniature.character.views import PictureViews, encode_views
from miniature.model.batches import LatentBatch
from miniature.model.transformer import token_weights, velocity
from pipelines.flux1.attention import subject_attention
from pipelines.instant_character.adapters import Subject, SubjectAdapter, SubjectAdapters
from pipelines.instant_character.checkpoint import InstantCharacter
from pipelines.instant_character.encoders import SubjectEncoders, SubjectFeatures
from pipelines.instant_character.projector import PreparedSubject, SubjectProjector
from training.loop import Trainer
from training.weights import MasterWeights, quick_attention

TIMESTEPS = 1000  # what the scheduler counts noise levels in
_PROJECTOR, _ADAPTERS = "image_proj", "ip_adapter"
_VECTORS = ("time_embedding", "proj_in", "proj_out")  # matrices that AdamW trains
_HELD_OUT_LEVELS = (0.9, 0.6, 0.3)
_MEASURED = 32  # held-out characters


def build_instant_character(
    recipe: CharacterRecipe, transformer: FluxTransformer2DModel
) -> InstantCharacter:
    """A new projector, and new adapters that add nothing yet."""
    projector = SubjectProjector(recipe.sizes.projector(recipe.without))
    adapters = SubjectAdapters.for_transformer(transformer, recipe.sizes.token_width)
    for adapter in adapters:
        assert isinstance(adapter, SubjectAdapter)
        nn.init.zeros_(adapter.to_v_ip.weight)
        nn.init.zeros_(adapter.to_v_ip.bias)
    return InstantCharacter(projector, adapters)


def _module_of(weights: InstantCharacter) -> nn.ModuleDict:
    """Both parts in one module, under the published checkpoint's names."""
    return nn.ModuleDict({_PROJECTOR: weights.projector, _ADAPTERS: weights.adapters})


@contextmanager
def conditioned_on(
    transformer: FluxTransformer2DModel, subject: Subject, image_tokens: int
) -> Iterator[None]:
    """Let a transformer look at a subject whoever calls it, and tell the subject of each step.

    Args:
        transformer: called with `timestep` by keyword, in thousandths of the scheduler's.
        subject: what it looks at.
        image_tokens: tokens of one picture.
    """

    def begin(module: nn.Module, arguments: Any, keywords: dict[str, Any]) -> None:
        subject.begin_step(TIMESTEPS * keywords["timestep"].float())

    hook = transformer.register_forward_pre_hook(begin, with_kwargs=True)
    try:
        with subject_attention(transformer, subject, image_tokens):
            yield
    finally:
        hook.remove()


class AdapterTrainer(Trainer):
    """One process of the adapters' training.

    Args:
        recipe: sizes, weights of the losses, budget.
        source: makes the samples.
        transformer: whose adapters these are, in bfloat16; it is frozen.
        encoders: the trained subject encoders; frozen, too, and made bfloat16.
        device: where to train.
        rank, world_size: this process among those that train together.
        initial: weights to start from; None starts anew.
    """

    def __init__(
        self,
        recipe: CharacterRecipe,
        source: PairSource,
        transformer: FluxTransformer2DModel,
        encoders: SubjectEncoders,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        initial: InstantCharacter | None = None,
    ) -> None:
        self.recipe, self._source, self._device = recipe, source, device
        self.transformer = transformer.to(device).requires_grad_(False)
        self._encoders = encoders.to(device, torch.bfloat16).requires_grad_(False).eval()
        torch.manual_seed(6)
        self.adapted = build_instant_character(recipe, transformer)
        module = _module_of(self.adapted).to(device)
        if initial is not None:
            module.load_state_dict(_module_of(initial).state_dict())
        weights = MasterWeights(
            module,
            lambda name, _: not any(vector in name for vector in _VECTORS),
            recipe.muon_rate,
            recipe.adam_rate,
            world_size,
        )
        self._teacher = copy.deepcopy(self.adapted)
        _module_of(self._teacher).requires_grad_(False)
        super().__init__(
            recipe,
            weights,
            rank=rank,
            world_size=world_size,
        )

    @property
    def phase(self) -> Phase:
        """The phase that the training is in."""
        return phase_at(self.budget.progress, self.recipe)

    def draw_batch(self, step: int) -> PairBatch:
        """This process's samples of a step, in the phase that the training is in."""
        guiding = self.budget.progress >= self.recipe.guided_from
        share = self.recipe.guided_share if guiding else 0.0
        return self._source.training(
            step, self.recipe, self.phase, share, self.rank, self.world_size
        )

    @torch.no_grad()
    def features(self, views: PictureViews) -> SubjectFeatures:
        """What the encoders see of references."""
        return encode_views(self._encoders, views)

    def condition(
        self, weights: InstantCharacter, features: SubjectFeatures, numbers: Tensor | None = None
    ) -> Subject:
        """A subject of full strength, through which gradients flow.

        Args:
            weights: projector and adapters.
            features: of the references.
            numbers: which of them each sample sees; None where samples and references are one.
        """
        projected = weights.projector.prepare(features).projected
        prepared = PreparedSubject(projected if numbers is None else projected[numbers])
        return Subject(weights.adapters, lambda t: weights.projector.tokens(prepared, t), 1.0)

    def predict(
        self,
        batch: LatentBatch,
        features: SubjectFeatures,
        numbers: Tensor,
        weights: InstantCharacter,
    ) -> Tensor:
        """The velocity with references, float32 of shape (batch, tokens, 64).

        Args:
            batch: what to paint.
            features: of the references.
            numbers: which of them each sample sees, shape (batch,).
            weights: projector and adapters.
        """
        subject = self.condition(weights, features, numbers)
        with conditioned_on(self.transformer, subject, batch.tokens.shape[1]):
            return velocity(self.transformer, batch)

    @torch.no_grad()
    def targets(self, pair: PairBatch, features: SubjectFeatures) -> Tensor:
        """What to predict, shape (batch, tokens, 64).

        Samples without guidance have the data's velocity. The others have what the transformer has
        learnt of guidance, and what the reference changes (of the averaged weights, without
        guidance) times g: v_g(prompt) + g * (v_1(prompt, reference) - v_1(prompt)). Were guidance
        learnt perfectly, that would be v_1(nothing) + g * (v_1(prompt, reference) - v_1(nothing));
        as it is, the adapters need not mend what it lacks.
        """
        batch = pair.batch
        chosen = torch.nonzero(batch.guidance > 1).flatten()
        if not len(chosen):
            return batch.velocity
        self.weights.copy_average_to(_module_of(self._teacher))
        guided = _chosen(batch, chosen)
        plain = replace(guided, guidance=torch.ones_like(guided.guidance))
        change = self.predict(plain, features, pair.reference[chosen], self._teacher)
        change = change - velocity(self.transformer, plain)
        target = velocity(self.transformer, guided) + guided.guidance[:, None, None] * change
        return batch.velocity.index_copy(0, chosen, target)

    def loss(self, pair: PairBatch) -> Tensor:
        """The flow-matching loss; figures and their details count more until the rate falls.

        Errors of guided samples are taken relative to their guidance, which multiplies them.
        """
        features = self.features(pair.views)
        predicted = self.predict(pair.batch, features, pair.reference, self.adapted)
        error = (predicted - self.targets(pair, features)).square().mean(-1)
        error = error / pair.batch.guidance[:, None].square()
        plateau = min(1.0, self.budget.left / self.recipe.cooldown)
        weights = token_weights(pair.batch.parts, self.recipe.miniature, plateau)
        return (weights * error).mean() / weights.mean()

    def step_losses(self) -> dict[str, Tensor]:
        """Compute the loss of a step, by the name `flow`."""
        pair = self.draw_batch(self.budget.step)
        with quick_attention(self._device):
            return {"flow": self.loss(pair)}

    def averaged(self) -> InstantCharacter:
        """Projector and adapters with the averaged weights, float32, on the training device."""
        weights = build_instant_character(self.recipe, self.transformer)
        module = _module_of(weights).to(self._device)
        self.weights.copy_average_to(module)
        module.requires_grad_(False)
        return weights

    @torch.no_grad()
    def evaluate(self, held_out: PairSource) -> dict[str, float]:
        """Losses of the averaged weights on characters that were never trained on.

        Returns:
            Flow loss, unweighted, over fixed noise levels: `held_out` with the character's
            reference, `held_out_without` with none, `held_out_other` with somebody else's.
        """
        self.weights.copy_average_to(_module_of(self._teacher))
        sums = {"held_out": 0.0, "held_out_without": 0.0, "held_out_other": 0.0}
        for level in _HELD_OUT_LEVELS:
            pair = held_out.held_out(level, _MEASURED)
            batch, features = pair.batch, self.features(pair.views)
            for name, predicted in (
                ("held_out", self.predict(batch, features, pair.reference, self._teacher)),
                ("held_out_without", velocity(self.transformer, batch)),
                (
                    "held_out_other",
                    self.predict(batch, features, pair.reference.roll(-1), self._teacher),
                ),
            ):
                sums[name] += F.mse_loss(predicted, batch.velocity).item()
        return {name: total / len(_HELD_OUT_LEVELS) for name, total in sums.items()}


def _chosen(batch: LatentBatch, chosen: Tensor) -> LatentBatch:
    """Some of the samples, as far as the transformer looks at them."""
    return replace(
        batch,
        tokens=batch.tokens[chosen],
        times=batch.times[chosen],
        guidance=batch.guidance[chosen],
        sequence=batch.sequence[chosen],
        pooled=batch.pooled[chosen],
    )
