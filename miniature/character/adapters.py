"""Training of the projector and the adapters beside a frozen transformer.

The loss is the transformer's flow-matching loss. Every sample has a reference: without one, only
frozen weights would be evaluated. The adapters start at zero. A tenth of the samples has a
reference and no prompt (the other branch of classifier-free guidance), and some samples learn
guidance from the averaged weights.
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
from miniature.model.transformer import flow_loss, velocity
from pipelines.flux1.attention import subject_attention
from pipelines.instant_character.adapters import Subject, SubjectAdapter, SubjectAdapters
from pipelines.instant_character.checkpoint import InstantCharacter
from pipelines.instant_character.encoders import SubjectEncoders, SubjectFeatures
from pipelines.instant_character.projector import SubjectProjector
from training.attention import quick_attention
from training.loop import Trainer
from training.weights import MasterWeights

TIMESTEPS = 1000  # of the scheduler, from noise level 0 to 1
_PROJECTOR, _ADAPTERS = "image_proj", "ip_adapter"
_VECTORS = ("time_embedding", "proj_in", "proj_out")  # matrices that AdamW trains
_HELD_OUT_LEVELS = (0.9, 0.6, 0.3)
_MEASURED = 32  # held-out characters


def build_instant_character(
    recipe: CharacterRecipe, transformer: FluxTransformer2DModel
) -> InstantCharacter:
    """Build a projector, and adapters that add nothing yet."""
    projector = SubjectProjector(recipe.sizes.projector(recipe.without))
    adapters = SubjectAdapters.for_transformer(transformer, recipe.sizes.token_width)
    for adapter in adapters:
        assert isinstance(adapter, SubjectAdapter)
        nn.init.zeros_(adapter.to_v_ip.weight)
        nn.init.zeros_(adapter.to_v_ip.bias)
    return InstantCharacter(projector, adapters)


def _module_of(weights: InstantCharacter) -> nn.ModuleDict:
    """Return both parts in one module, under the published checkpoint's names."""
    return nn.ModuleDict({_PROJECTOR: weights.projector, _ADAPTERS: weights.adapters})


@contextmanager
def conditioned_on(
    transformer: FluxTransformer2DModel, condition: Subject, image_tokens: int
) -> Iterator[None]:
    """Condition a transformer on a reference in every call.

    Args:
        transformer: called with `timestep` by keyword, in thousandths of the scheduler's.
        condition: the reference's tokens and adapters; each call begins a step of it.
        image_tokens: number of tokens of a picture.
    """

    def begin(module: nn.Module, arguments: Any, keywords: dict[str, Any]) -> None:
        condition.begin_step(TIMESTEPS * keywords["timestep"].float())

    hook = transformer.register_forward_pre_hook(begin, with_kwargs=True)
    try:
        with subject_attention(transformer, condition, image_tokens):
            yield
    finally:
        hook.remove()


class AdapterTrainer(Trainer):
    """Process of the adapters' training.

    Args:
        recipe: sizes, weights of the losses, budget.
        source: source of the batches.
        transformer: transformer that the adapters are for, in bfloat16; it is frozen.
        encoders: trained encoders of references; frozen and turned into bfloat16.
        device: training device.
        rank, world_size: number of this process, and of all that train together.
        initial: weights to start from; None starts from new weights.
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
        super().__init__(recipe, weights, rank=rank, world_size=world_size)

    @property
    def phase(self) -> Phase:
        """Return the phase of the training."""
        return phase_at(self.budget.progress, self.recipe)

    def draw_batch(self, step: int) -> PairBatch:
        """Return this process's batch of a step, in the phase of the training."""
        guiding = self.budget.progress >= self.recipe.guided_from
        share = self.recipe.guided_share if guiding else 0.0
        phase, rank = self.phase, self.rank
        return self._source.training(step, self.recipe, phase, share, rank, self.world_size)

    @torch.no_grad()
    def features(self, views: PictureViews) -> SubjectFeatures:
        """Encode references."""
        return encode_views(self._encoders, views)

    def condition(
        self, weights: InstantCharacter, features: SubjectFeatures, reference: Tensor | None = None
    ) -> Subject:
        """Return references as a differentiable condition of full strength.

        `reference` has the index of each sample's reference; without it each sample has its own.
        """
        prepared = weights.projector.prepare(features)
        prepared = prepared if reference is None else prepared[reference]
        return Subject(weights.adapters, lambda t: weights.projector.tokens(prepared, t), 1.0)

    def predict(
        self,
        batch: LatentBatch,
        features: SubjectFeatures,
        reference: Tensor,
        weights: InstantCharacter,
    ) -> Tensor:
        """Predict the velocity with references, float32 of shape (batch, tokens, 64).

        `reference` has the index of each sample's reference, shape (batch,).
        """
        condition = self.condition(weights, features, reference)
        with conditioned_on(self.transformer, condition, batch.tokens.shape[1]):
            return velocity(self.transformer, batch)

    @torch.no_grad()
    def targets(self, pair: PairBatch, features: SubjectFeatures) -> Tensor:
        """Return the targets, shape (batch, tokens, 64).

        Without guidance, the target is the data's velocity. With guidance g, it is the
        transformer's own guided velocity plus g times the change by the reference, of the averaged
        weights: v_g(prompt) + g * (v_1(prompt, reference) - v_1(prompt)). If the transformer had
        learnt guidance perfectly, this would be v_1(nothing) + g * (v_1(prompt, reference) -
        v_1(nothing)); so the adapters do not have to correct its guidance.
        """
        batch = pair.batch
        chosen = torch.nonzero(batch.guidance > 1).flatten()
        if not len(chosen):
            return batch.velocity
        self.weights.copy_average_to(_module_of(self._teacher))
        guided = batch.select(chosen)
        plain = replace(guided, guidance=torch.ones_like(guided.guidance))
        change = self.predict(plain, features, pair.reference[chosen], self._teacher)
        change = change - velocity(self.transformer, plain)
        target = velocity(self.transformer, guided) + guided.guidance[:, None, None] * change
        return batch.velocity.index_copy(0, chosen, target)

    def loss(self, pair: PairBatch) -> Tensor:
        """Compute the flow-matching loss; figures and details weigh more until the rate falls."""
        features = self.features(pair.views)
        predicted = self.predict(pair.batch, features, pair.reference, self.adapted)
        plateau = min(1.0, self.budget.left / self.recipe.cooldown)
        error = predicted - self.targets(pair, features)
        return flow_loss(error, pair.batch, self.recipe.miniature, plateau)

    def step_losses(self) -> dict[str, Tensor]:
        """Compute the loss of a step, by the name `flow`."""
        pair = self.draw_batch(self.budget.step)
        with quick_attention(self._device):
            return {"flow": self.loss(pair)}

    def averaged(self) -> InstantCharacter:
        """Return projector and adapters with the averaged weights, in float32."""
        weights = build_instant_character(self.recipe, self.transformer)
        module = _module_of(weights).to(self._device)
        self.weights.copy_average_to(module)
        module.requires_grad_(False)
        return weights

    @torch.no_grad()
    def evaluate(self, held_out: PairSource) -> dict[str, float]:
        """Evaluate the averaged weights on held-out characters.

        Returns:
            Flow loss, unweighted, over fixed noise levels: `held_out` with the character's
            reference, `held_out_without` with none, `held_out_other` with another character's.
        """
        self.weights.copy_average_to(_module_of(self._teacher))
        sums = {"held_out": 0.0, "held_out_without": 0.0, "held_out_other": 0.0}
        for level in _HELD_OUT_LEVELS:
            pair = held_out.held_out(level, _MEASURED)
            batch, features = pair.batch, self.features(pair.views)
            other = pair.reference.roll(-1)
            for name, predicted in (
                ("held_out", self.predict(batch, features, pair.reference, self._teacher)),
                ("held_out_without", velocity(self.transformer, batch)),
                ("held_out_other", self.predict(batch, features, other, self._teacher)),
            ):
                sums[name] += F.mse_loss(predicted, batch.velocity).item()
        return {name: total / len(_HELD_OUT_LEVELS) for name, total in sums.items()}
