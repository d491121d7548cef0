"""Sizes and schedules of the character encoders and adapters.

Cost with the `small` sizes, counted in matrix products (a multiply-add is two): 1.7 GFLOP for both
encoders on a reference (720 patches: the whole picture and four crops), 1.9 for the projector,
forward and backward, and 5.5 for each target picture with the frozen transformer, whose weights
need no gradients. Two targets share a reference. A sample that learns guidance takes 6 more.
"""

from dataclasses import dataclass, replace

from miniature.model.recipe import GPU, SMALL_WORLD, TOY, Recipe
from miniature.world import vocabulary as v
from miniature.world.spec import WHOLE, WorldRange
from pipelines.instant_character.config import EncoderConfig, ProjectorConfig
from training.budget import TrainingSchedule

CAST_WORLD = replace(
    SMALL_WORLD,
    patterns=("plain",) * 4 + v.PATTERNS[1:],
    headwear=("none",) * 4 + v.HEADWEAR[1:],
    accessories=("none",) * 3 + v.ACCESSORIES[1:],
)
"""Range of the `small` transformer, with more of the attributes in which characters differ."""


@dataclass(frozen=True)
class CharacterSizes:
    """Sizes of the encoders and of the projector.

    Attributes:
        side: side of an encoder's picture, in pixels; the enlarged one has twice that.
        patch: side of an encoder's patch, in pixels.
        width: channels of each encoder.
        layers: depth of each encoder.
        encoder_heads: their attention heads.
        siglip_layers, dino_layers: hidden states that make up the low-level features.
        blocks: of the cross-layer and of the cross-scale encoder, each.
        heads: attention heads of such a block; their width together is twice `width`.
        resampler_width, resampler_layers, resampler_heads: of the resampler.
        time_channels: sines and cosines of a timestep.
        queries: number of tokens of a reference.
        token_width: channels of such a token.
    """

    side: int = 96
    patch: int = 8
    width: int = 96
    layers: int = 5
    encoder_heads: int = 3
    siglip_layers: tuple[int, ...] = (1, 2, 4)
    dino_layers: tuple[int, ...] = (1, 2, 4)
    blocks: int = 1
    heads: int = 6
    resampler_width: int = 160
    resampler_layers: int = 2
    resampler_heads: int = 5
    time_channels: int = 64
    queries: int = 48
    token_width: int = 192

    def __post_init__(self) -> None:
        if self.side % self.patch:
            raise ValueError(f"a side of {self.side} is no multiple of the patch, {self.patch}")
        for heads, width in (
            (self.encoder_heads, self.width),
            (self.heads, 2 * self.width),
            (self.resampler_heads, self.resampler_width),
        ):
            if width % heads:
                raise ValueError(f"{heads} heads cannot share {width} channels")

    @property
    def encoder(self) -> EncoderConfig:
        """Configuration of the encoders."""
        return EncoderConfig(self.siglip_layers, self.dino_layers, self.side)

    def projector(self, without: frozenset[str]) -> ProjectorConfig:
        """Return the projector's configuration.

        Args:
            without: parts of it that are left out, names of ABLATIONS.
        """
        return ProjectorConfig(
            width=2 * self.width,
            blocks=self.blocks,
            heads=self.heads,
            head_dim=2 * self.width // self.heads,
            resampler_width=self.resampler_width,
            resampler_layers=self.resampler_layers,
            resampler_heads=self.resampler_heads,
            resampler_head_dim=self.resampler_width // self.resampler_heads,
            time_channels=self.time_channels,
            queries=self.queries,
            token_width=self.token_width,
            use_low_level="low-level" not in without,
            use_region="region" not in without,
            use_time="time" not in without,
        )


ABLATIONS = ("time", "low-level", "region")
"""Parts of the projector that a training can leave out, to measure their effect."""


@dataclass(frozen=True)
class CharacterRecipe(TrainingSchedule):
    """Settings of the training of encoders and adapters; its `TrainingSchedule` is the adapters'.

    Attributes:
        miniature: recipe of the transformer: token weights in the loss, share of empty prompts,
            largest guidance.
        sizes: sizes of the networks.
        world: range of the scenes.
        without: parts of the projector that are left out, names of ABLATIONS.
        characters: number of training characters.
        held_out: number of held-out characters.
        scenes: pictures of each character.
        wordings: number of prompts for each picture.
        encoder_minutes: time budget of the encoders.
        encoder_steps: their step budget; None leaves the time budget.
        encoder_batch: references in a step of the encoders, two of each character.
        targets: number of targets that share a reference.
        muon_rate: learning rate of matrices.
        adam_rate: learning rate of all other parameters.
        part_weight: weight of the loss on the patches' parts.
        identity_weight: weight of the loss on the identity.
        low_side: side of the pictures of low resolution, in pixels.
        paired_from: share of the adapters' run after which the reference shows the character in
            another picture than the target.
        mixed_from: share after which pictures are of full size, and references of both kinds.
        own_share: share of references from the target, in the mixed phase.
        guided_from: share after which some samples learn guidance.
        guided_share: share of these samples.
        familiar: share of held-out references that count as familiar.
        calibrating: number of references that give the distribution.
        outsiders: number of pictures of each kind of outsider.
    """

    miniature: Recipe = Recipe()
    sizes: CharacterSizes = CharacterSizes()
    world: WorldRange = CAST_WORLD
    without: frozenset[str] = frozenset()
    characters: int = 6000
    held_out: int = 100
    scenes: int = 3
    wordings: int = 4
    encoder_minutes: float = 30.0
    minutes: float = 80.0
    encoder_steps: int | None = None
    encoder_batch: int = 32
    batch: int = 32
    targets: int = 2
    muon_rate: float = 2e-3
    adam_rate: float = 1e-3
    warmup: int = 40
    cooldown: float = 0.4
    part_weight: float = 1.0
    identity_weight: float = 0.2
    low_side: int = 192
    paired_from: float = 0.15
    mixed_from: float = 0.3
    own_share: float = 0.2
    guided_from: float = 0.7
    guided_share: float = 0.3
    familiar: float = 0.98
    calibrating: int = 3000
    outsiders: int = 50
    checkpoint_every: float = 450.0

    @property
    def most_processes(self) -> int:
        """Largest number of processes that can share both batches, by references and characters."""
        return min(self.batch // self.targets, self.encoder_batch // 2)

    def __post_init__(self) -> None:
        if strange := self.without - set(ABLATIONS):
            raise ValueError(
                f"{', '.join(sorted(strange))} cannot be left out; {', '.join(ABLATIONS)} can"
            )
        if self.batch % self.targets or self.encoder_batch % 2:
            raise ValueError(
                f"{self.batch} targets are not {self.targets} for each reference, or "
                f"{self.encoder_batch} references not two for each character"
            )
        if self.scenes < 2:
            raise ValueError(f"{self.scenes} scene of a character has no other one as its target")


TOY_CHARACTER = CharacterRecipe(
    miniature=TOY,
    sizes=CharacterSizes(
        side=32,
        width=16,
        layers=2,
        encoder_heads=2,
        siglip_layers=(1, 2),
        dino_layers=(1, 2),
        heads=2,
        resampler_width=16,
        resampler_layers=1,
        resampler_heads=2,
        time_channels=8,
        queries=4,
        token_width=16,
    ),
    characters=8,
    held_out=4,
    scenes=2,
    wordings=2,
    encoder_steps=4,
    steps=6,
    encoder_batch=4,
    batch=4,
    warmup=2,
    low_side=64,
    calibrating=70,
    outsiders=3,
    log_every=2,
)

RECIPES = {
    "small": CharacterRecipe(),
    "toy": TOY_CHARACTER,
    "gpu": CharacterRecipe(
        miniature=GPU,
        sizes=CharacterSizes(
            width=128,
            encoder_heads=4,
            layers=6,
            siglip_layers=(1, 3, 5),
            dino_layers=(1, 3, 5),
            heads=8,
            resampler_width=192,
            resampler_heads=6,
            queries=64,
            token_width=256,
        ),
        world=WHOLE,
        characters=25_000,
        encoder_minutes=4.0,
        minutes=10.0,
        encoder_batch=512,
        batch=384,
        targets=2,
        warmup=200,
        ema_decay=0.9995,
        log_every=100,
        checkpoint_every=120.0,
    ),
}
