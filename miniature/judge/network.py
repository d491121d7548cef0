"""The judge's two networks: the finder segments figures and reads the scene, the reader a crop.

Both are plain convolutions with batch norms, which cost little at inference. Pictures
are floats in [-1, 1], shape (batch, 3, height, width).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from miniature.world.vocabulary import Part

_PATCH = 4  # pixels along the side of one cell of the finder's finest features
_MARGIN = 1.12  # a crop's side over the figure's longer side
_OUTLINE = 2  # pixels of outline around a figure that belong to it
GEOMETRY = 10  # numbers of a crop's position in its picture
_REGIONS: tuple[tuple[Part, ...], ...] = (
    (Part.FACE, Part.EAR, Part.GLASSES, Part.BEARD),
    (Part.HAIR, Part.HAT),
    (Part.TORSO, Part.NECK, Part.SCARF, Part.BAG, Part.BACKPACK),
    (Part.LEFT_UPPER_ARM, Part.LEFT_FOREARM, Part.RIGHT_UPPER_ARM, Part.RIGHT_FOREARM, Part.HAND),
    (Part.LEFT_THIGH, Part.LEFT_SHIN, Part.RIGHT_THIGH, Part.RIGHT_SHIN, Part.SKIRT),
    (Part.SHOE, Part.PROP, Part.TAIL),
)
LAYERS = 4 + len(_REGIONS)  # of a crop: its picture, its mask, and the regions of the figure


@dataclass(frozen=True)
class JudgeSizes:
    """Sizes of the judge's networks.

    Attributes:
        finder: channels at a fourth, eighth, sixteenth and thirty-second of the picture's size.
        reader: channels at a half, fourth, eighth and sixteenth of the crop's size.
        mixed: channels of the map that the reader's attributes are read from.
        crop: side of a figure's crop in pixels, a multiple of 16.
        embedding: length of the embedding.
    """

    finder: tuple[int, int, int, int] = (32, 48, 96, 128)
    reader: tuple[int, int, int, int] = (24, 48, 96, 128)
    mixed: int = 128
    crop: int = 112
    embedding: int = 64

    def __post_init__(self) -> None:
        if self.crop % 16:
            raise ValueError(f"a crop of {self.crop} pixels is no multiple of 16")


class _Convolution(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, side: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Convolution(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.second(self.first(features)))


class AttentionPooling(nn.Module):
    """Averages of a feature map, as many as `queries`, weighted by softmaxes over its positions."""

    def __init__(self, channels: int, queries: int) -> None:
        super().__init__()
        self.weights = nn.Conv2d(channels, queries, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Pool a map of shape (batch, channels, h, w) to (batch, queries, channels)."""
        weights = self.weights(features).flatten(2).softmax(-1)
        return weights @ features.flatten(2).transpose(1, 2)


@dataclass(frozen=True)
class FinderOutput:
    """Output of the finder for a batch of pictures.

    Attributes:
        parts: logits of each part but the background, shape (batch, parts, height / 2, width / 2);
            meaningful inside the foreground.
        foreground: logits of the foreground, shape (batch, height, width).
        scene: logits of each of the scene's attributes, each of shape (batch, values).
        features: averages of the coarsest features, shape (batch, channels).
    """

    parts: Tensor
    foreground: Tensor
    scene: dict[str, Tensor]
    features: Tensor


class Finder(nn.Module):
    """U-Net that labels the pixels of figures with parts, and reads place, time and weather."""

    def __init__(
        self, channels: tuple[int, int, int, int], parts: int, values: dict[str, tuple[str, ...]]
    ) -> None:
        super().__init__()
        finest, coarsest = channels[0], channels[-1]
        self.parts = parts
        self.stem = nn.Sequential(
            nn.Conv2d(3, finest, _PATCH, _PATCH, bias=False),
            nn.BatchNorm2d(finest),
            nn.ReLU(inplace=True),
            _Convolution(finest, finest),
        )
        steps = list(zip(channels, channels[1:], strict=False))
        self.down = nn.ModuleList(
            nn.Sequential(_Convolution(fine, coarse, stride=2), _Block(coarse))
            for fine, coarse in steps
        )
        self.lateral = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in steps)
        self.up = nn.ModuleList(_Convolution(fine, fine) for fine, _ in steps)
        self.label = nn.Conv2d(finest, 4 * parts + _PATCH**2, 1)
        self.look = AttentionPooling(coarsest, len(values))
        self.mix = nn.Sequential(nn.Linear(sum(channels), coarsest), nn.ReLU())
        self.heads = nn.ModuleDict(
            {name: nn.Linear(2 * coarsest, len(names)) for name, names in values.items()}
        )

    def forward(self, images: Tensor) -> FinderOutput:
        """Segment the figures and read the scene; height and width are multiples of 4."""
        levels = [self.stem(images)]
        for down in self.down:
            levels.append(down(levels[-1]))
        pooled = [level.mean((2, 3)) for level in levels]
        shared, seen = self.mix(torch.cat(pooled, 1)), self.look(levels[-1])
        scene = {
            name: head(torch.cat([shared, seen[:, number]], 1))
            for number, (name, head) in enumerate(self.heads.items())
        }
        features = levels[-1]
        for number in reversed(range(len(self.up))):
            fine = levels[number]
            coarse = F.interpolate(self.lateral[number](features), size=fine.shape[-2:])
            features = self.up[number](fine + coarse)
        labels = self.label(features)
        split = 4 * self.parts
        return FinderOutput(
            parts=F.pixel_shuffle(labels[:, :split], 2),
            foreground=F.pixel_shuffle(labels[:, split:], _PATCH).squeeze(1),
            scene=scene,
            features=pooled[-1],
        )


@dataclass(frozen=True)
class ReaderOutput:
    """Output of the reader for a batch of crops.

    Attributes:
        figure: logits of each of the figure's attributes, each of shape (batch, values).
        embedding: embedding of the identity, of unit length, shape (batch, dimensions).
    """

    figure: dict[str, Tensor]
    embedding: Tensor


class Reader(nn.Module):
    """Network that reads a figure's attributes from its crop, by averages over its regions."""

    def __init__(self, sizes: JudgeSizes, values: dict[str, tuple[str, ...]]) -> None:
        super().__init__()
        half, fourth, eighth, sixteenth = sizes.reader
        mixed = sizes.mixed
        self.stem = nn.Sequential(
            _Convolution(LAYERS, half, stride=2),
            _Convolution(half, fourth, stride=2),
            _Block(fourth),
        )
        self.middle = nn.Sequential(_Convolution(fourth, eighth, stride=2), _Block(eighth))
        self.coarse = nn.Sequential(_Convolution(eighth, sixteenth, stride=2), _Block(sixteenth))
        self.from_middle = nn.Conv2d(eighth, mixed, 1)
        self.from_coarse = nn.Conv2d(sixteenth, mixed, 1)
        self.mix = nn.Sequential(nn.Linear(sixteenth + GEOMETRY, mixed), nn.ReLU())
        seen = len(_REGIONS) * (fourth + mixed)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(seen + mixed, len(names)) for name, names in values.items()}
        )
        self.embed = nn.Linear(seen, sizes.embedding)

    def forward(self, crops: Tensor, geometry: Tensor) -> ReaderOutput:
        """Read the crops of `crop_figures`.

        Args:
            crops: shape (batch, LAYERS, crop, crop).
            geometry: shape (batch, GEOMETRY).
        """
        fine = self.stem(crops)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        raised = F.interpolate(self.from_coarse(coarse), size=middle.shape[-2:])
        features = F.relu(self.from_middle(middle) + raised)
        regions = crops[:, 4:]
        seen = torch.cat([_region_means(fine, regions), _region_means(features, regions)], 1)
        shared = self.mix(torch.cat([coarse.mean((2, 3)), geometry], 1))
        known = torch.cat([seen, shared], 1)
        figure = {name: head(known) for name, head in self.heads.items()}
        return ReaderOutput(figure, F.normalize(self.embed(seen).float(), dim=1))


def _region_means(features: Tensor, regions: Tensor) -> Tensor:
    """Average a feature map over each region, shape (batch, regions * channels); 0 if it is empty.

    Args:
        features: shape (batch, channels, h, w).
        regions: share of each pixel that belongs to a region, shape (batch, regions, H, W).
    """
    height, width = features.shape[-2:]
    weights = F.adaptive_avg_pool2d(regions, (height, width)).flatten(2)
    weights = weights / (weights.sum(2, keepdim=True) + 1e-3)
    return (weights @ features.flatten(2).transpose(1, 2).to(weights)).flatten(1)


class JudgeNetwork(nn.Module):
    """Finder and reader together."""

    def __init__(
        self,
        sizes: JudgeSizes,
        parts: int,
        scene_values: dict[str, tuple[str, ...]],
        figure_values: dict[str, tuple[str, ...]],
    ) -> None:
        super().__init__()
        self.sizes, self.parts = sizes, parts
        self.scene_values, self.figure_values = scene_values, figure_values
        self.finder = Finder(sizes.finder, parts, scene_values)
        self.reader = Reader(sizes, figure_values)


def as_floats(images: Tensor) -> Tensor:
    """Turn uint8 pictures of shape (n, h, w, 3) into floats in [-1, 1], shape (n, 3, h, w)."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def widened(masks: Tensor, reach: int) -> Tensor:
    """Widen masks, bool of shape (n, h, w), by a number of pixels across and down."""
    for _ in range(reach):
        masks = masks | F.pad(masks[:, 1:], (0, 0, 0, 1)) | F.pad(masks[:, :-1], (0, 0, 1, 0))
        masks = masks | F.pad(masks[:, :, 1:], (0, 1)) | F.pad(masks[:, :, :-1], (1, 0))
    return masks


def part_labels(found: FinderOutput) -> Tensor:
    """Return predicted parts at full size, 0 outside the foreground, uint8 of shape (n, h, w)."""
    labels = (found.parts.argmax(1) + 1).to(torch.uint8)
    full = F.interpolate(labels[:, None], size=found.foreground.shape[1:], mode="nearest")
    return full.squeeze(1) * (found.foreground > 0)


def crop_figures(images: Tensor, masks: Tensor, parts: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Crop figures to one size, with the background blanked.

    Args:
        images: pictures, shape (n, 3, height, width).
        masks: the figure of each, bool of shape (n, height, width); an empty mask gives a blank
            crop of the whole picture.
        parts: part labels, uint8 of shape (n, height, width).
        side: side of the crops, in pixels.

    Returns:
        Crops, shape (n, LAYERS, side, side): picture, mask, and the shares of the regions. And
        their positions, shape (n, GEOMETRY).
    """
    region_of = torch.full((len(Part),), -1, dtype=torch.int8, device=images.device)
    for number, members in enumerate(_REGIONS):
        region_of[list(members)] = number
    crops, geometry = [], []
    for image, mask, wide, labels in zip(
        images, masks, widened(masks, _OUTLINE), parts, strict=True
    ):
        box = _box(mask)
        layers = (image, wide, torch.where(mask, region_of[labels.int()], -1))
        crops.append(_cut(layers, box, side))
        geometry.append(_geometry(box, mask.shape[1], mask.shape[0]))
    return torch.cat(crops), torch.tensor(geometry, device=images.device)


@dataclass(frozen=True)
class _Box:
    left: int
    top: int
    right: int
    bottom: int


def _box(mask: Tensor) -> _Box:
    """Return the smallest box around a mask of shape (h, w); all of it if it is empty."""
    if not mask.any():
        return _Box(0, 0, mask.shape[1], mask.shape[0])
    columns, rows = mask.any(0).nonzero().ravel(), mask.any(1).nonzero().ravel()
    return _Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _cut(layers: tuple[Tensor, Tensor, Tensor], box: _Box, side: int) -> Tensor:
    """Crop a square from a picture, its mask and its regions' numbers."""
    image, mask, regions = layers
    height, width = mask.shape
    reach = round(max(box.bottom - box.top, box.right - box.left) * _MARGIN)
    y, x = (box.top + box.bottom - reach) // 2, (box.left + box.right - reach) // 2
    inside = (slice(max(y, 0), y + reach), slice(max(x, 0), x + reach))
    shown = mask[inside].float()[None]
    numbers = torch.arange(len(_REGIONS), device=image.device)[:, None, None]
    whole = torch.cat([image[:, *inside] * shown, shown, (regions[inside] == numbers).float()])
    beyond = (max(-x, 0), max(x + reach - width, 0), max(-y, 0), max(y + reach - height, 0))
    return F.interpolate(F.pad(whole, beyond)[None], (side, side), mode="bilinear", antialias=True)


def _geometry(box: _Box, width: int, height: int) -> list[float]:
    """Return middle and size of a box, the picture's size, and the borders that it touches."""
    return [
        4 * (box.left + box.right) / width - 4,
        4 * (box.top + box.bottom) / height - 4,
        (box.right - box.left) / 64 - 2,
        (box.bottom - box.top) / 64 - 2,
        width / 64 - 4,
        height / 64 - 4,
        float(box.left == 0),
        float(box.top == 0),
        float(box.right == width),
        float(box.bottom == height),
    ]
