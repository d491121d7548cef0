"""Sizes and schedules of the miniature."""

from dataclasses import dataclass

from miniature.world import vocabulary as v
from miniature.world.spec import WHOLE, WorldRange
from training.budget import TrainingSchedule

_HARD_ACTIONS = (
    "standing", "waving", "jumping", "cheering", "dancing", "hips", "pointing", "kneeling",
)  # fmt: skip

SMALL_WORLD = WorldRange(
    actions=v.ACTIONS + 2 * _HARD_ACTIONS,
    shots=("full",) * 12 + ("wide", "medium", "close"),
    patterns=("plain",) * 9 + v.PATTERNS[1:],
    headwear=("none",) * 8 + v.HEADWEAR[1:],
    accessories=("none",) * 6 + v.ACCESSORIES[1:],
    times=("day",) * 6 + v.TIMES[1:],
    weathers=("clear",) * 12 + v.WEATHERS[1:],
    three_quarter=0.15,
    back=0.12,
    pair_share=0.04,
)
"""Range of the scenes of a training of some hours. What so small a model hardly learns is seldom;
what it learns slowly is frequent, such as actions that differ in the arms alone."""


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of the miniature's networks.

    Attributes:
        text_width: width of both text encoders.
        clip_layers, t5_layers: their depths.
        text_tokens: T5 tokens of a prompt, padding included; the pipeline's `max_sequence_length`.
        head_dim, heads: of the transformer's attention; the width is their product.
        rope_axes: rotary dimensions for (unused, row, column); their sum is `head_dim`.
        double_blocks, single_blocks: depths of the transformer.
        autoencoder_channels: widths of the autoencoder, from full size down to an eighth.
    """

    text_width: int = 128
    clip_layers: int = 2
    t5_layers: int = 3
    text_tokens: int = 64
    head_dim: int = 48
    heads: int = 4
    rope_axes: tuple[int, int, int] = (8, 20, 20)
    double_blocks: int = 2
    single_blocks: int = 4
    autoencoder_channels: tuple[int, int, int, int] = (16, 16, 32, 96)

    def __post_init__(self) -> None:
        if sum(self.rope_axes) != self.head_dim:
            raise ValueError(f"rotary axes {self.rope_axes} do not add up to {self.head_dim}")


@dataclass(frozen=True)
class Recipe(TrainingSchedule):
    """Settings of the training of the miniature; its `TrainingSchedule` is the transformer's.

    Attributes:
        sizes: sizes of the networks.
        world: range of the scenes.
        scenes: number of drawn pictures.
        pictures_from: number added to their seeds, so that a later training sees other pictures.
        oblong_share: share of them that is landscape, and as large a share that is portrait.
        wordings: number of prompts for each picture.
        prompts: prompts that the tokenizers and the text encoders learn from.
        autoencoder_minutes, text_minutes: time budgets of the other trained stages.
        autoencoder_steps, text_steps: their step budgets; None leaves the time budget.
        text_batch, autoencoder_batch: their samples in a step.
        muon_rate: learning rate of the matrices inside the transformer's blocks.
        adam_rate: learning rate of its other parameters.
        text_warmup: steps until the full learning rate of the text encoders.
        empty_prompts: share of samples trained without a prompt, for true guidance.
        part_weight: weight of the body part loss.
        attention_weight: weight of the loss on the mask statistic.
        match_weight: weight of the loss on the matches between pictures.
        foreground_weight: weight of a token inside the character in the flow loss; a background
            token has weight 1. Falls to 1 in the cooldown.
        detail_weight: the same for a token of faces, limbs and things held.
        guided_from: share of the run after which some samples learn guidance.
        guided_share: share of these samples; their targets are guided predictions of the averaged
            model.
        most_guidance: largest guidance that is learnt; the smallest is 1, which is none.
    """

    sizes: ModelSizes = ModelSizes()
    world: WorldRange = SMALL_WORLD
    scenes: int = 24_000
    pictures_from: int = 0
    oblong_share: float = 0.12
    wordings: int = 3
    prompts: int = 40_000
    autoencoder_minutes: float = 24.0
    text_minutes: float = 8.0
    minutes: float = 85.0
    autoencoder_steps: int | None = None
    text_steps: int | None = None
    text_batch: int = 32
    autoencoder_batch: int = 4
    batch: int = 32
    muon_rate: float = 2e-3
    adam_rate: float = 1e-3
    warmup: int = 60
    text_warmup: int = 20
    cooldown: float = 0.35
    empty_prompts: float = 0.1
    part_weight: float = 0.2
    attention_weight: float = 0.05
    match_weight: float = 0.15
    foreground_weight: float = 2.0
    detail_weight: float = 4.0
    guided_from: float = 0.4
    guided_share: float = 0.3
    most_guidance: float = 6.0
    checkpoint_every: float = 300.0


TOY = Recipe(
    sizes=ModelSizes(
        text_width=32,
        clip_layers=1,
        t5_layers=1,
        head_dim=16,
        heads=2,
        rope_axes=(4, 6, 6),
        double_blocks=1,
        single_blocks=2,
        autoencoder_channels=(8, 8, 8, 16),
    ),
    scenes=30,
    oblong_share=0.2,
    wordings=2,
    prompts=300,
    autoencoder_steps=6,
    text_steps=6,
    steps=6,
    text_batch=8,
    autoencoder_batch=2,
    batch=2,
    warmup=2,
    text_warmup=2,
    log_every=2,
)

GPU = Recipe(
    sizes=ModelSizes(
        text_width=256,
        heads=6,
        double_blocks=3,
        single_blocks=4,
        autoencoder_channels=(32, 48, 64, 96),
    ),
    world=WHOLE,
    scenes=100_000,
    autoencoder_minutes=4.0,
    text_minutes=1.5,
    minutes=15.0,
    text_batch=256,
    autoencoder_batch=32,
    batch=384,
    warmup=200,
    ema_decay=0.9995,
    log_every=100,
    checkpoint_every=120.0,
)

RECIPES = {"small": Recipe(), "toy": TOY, "gpu": GPU}
