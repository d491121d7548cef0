"""Catalog of the models: their sizes, default settings and licences; no torch, no file at import.

`pipelines.loading.model` loads them.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from pipelines.errors import UnknownModelError
from pipelines.models.sizes import FLUX_DEV_PARTS, FLUX_SCHNELL_PARTS, parts_of_folder
from pipelines.models.specs import (
    CharacterAdapterSpec,
    FewSteps,
    MadeFor,
    MattingSpec,
    ModelSpec,
    remedy_for_file,
)
from pipelines.models.weight_files import FileFault, component_class, read_json
from pipelines.request import ConsistencySettings

_MINIATURE_FOLDER = Path(__file__).resolve().parents[2] / "assets" / "miniature"
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# A model, and a GGUF file to take its transformer from; a drive's letter is part of the file.
_WITH_GGUF = re.compile(r"(?P<model>.+?):(?P<file>(?:[A-Za-z]:)?[^:]+\.gguf)", re.IGNORECASE)

# InstantCharacter's adapters and projector, summed over the shapes of their state; and its image
# encoders, counted from their configurations: SigLIP so400m (with its text tower, which is in the
# file but not loaded, and without) and DINOv2 giant. The encoders' files are float32; the
# adapter's is taken for 16 bits.
_INSTANT_CHARACTER_PARAMETERS = 1_434_816_768 + 1_360_116_096
_SIGLIP_PARAMETERS, _SIGLIP_VISION_PARAMETERS = 877_960_498, 428_225_600
_DINO_PARAMETERS = 1_136_480_768

# A folder with fewer parameters in all its networks takes the miniature's settings.
_SMALL_PARAMETERS = 100_000_000
# Sides of a storyboard's frames in pixels, for a model of any size.
_SMALLEST_SIDE, _LARGEST_SIDE, _SIDE_STEP = 64, 2048, 16
# Files of a folder, and endings of checkpoints in a single file.
_MODEL_FILES = ("*.safetensors", "*.bin", "*.json", "*.model")
_SINGLE_FILES = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".sft")
# Classifier-free guidance of models that are distilled neither for guidance nor for few steps.
_TRUE_CFG_SCALE = 2.5

# Settings that FLUX.1 models were made for, by their makers' word. Black Forest Labs': 0.1 to 2
# megapixels in the announcement of FLUX.1; for [dev] 28 to 50 steps, the "recommended range" of
# their model at Replicate, and the guidance that their API (api.bfl.ai/openapi.json) takes, 1.5 to
# 5; for [schnell] one to four steps, on its page. Krea's, in the README of krea-ai/flux-krea: sides
# of 1024 to 1280 pixels, 28 to 32 steps, guidance 3.5 to 5.
_FLUX_AREA = (100_000, 2_100_000)
_KREA_AREA = (1_000_000, 1280 * 1280)  # sizes with the area of 1024 x 1024 pixels are rounded
# A small model draws pictures of one area, as its training did; sides are rounded.
_AREA_TOLERANCE = 0.1

_APACHE, _APACHE_URL = "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"


def _bundled_adapter(folder: Path) -> CharacterAdapterSpec:
    """Return the character adapter in the bundle of a model's folder."""
    bundle = folder / "subject"
    return CharacterAdapterSpec(
        title=f"InstantCharacter for {folder.name}",
        adapter=str(bundle),
        adapter_file="adapter.safetensors",
        siglip=str(bundle / "siglip"),
        dino=str(bundle / "dinov2"),
        licence="see the folder",
        note="What it was trained on is not known.",
    )


def _vocabulary(folder: Path) -> Path:
    """Return the path of the words that training leaves beside a small model."""
    return folder / "words.json"


def _around(side: int) -> tuple[int, int]:
    """Return the areas of pictures that count as those of a small model's training."""
    area = side * side
    return round(area * (1 - _AREA_TOLERANCE)), round(area * (1 + _AREA_TOLERANCE))


def _latent_map(folder: Path) -> Path:
    """Return the path of the linear map that training leaves beside an autoencoder."""
    return folder / "vae" / "latent_map.safetensors"


BIREFNET = MattingSpec(
    title="BiRefNet",
    source="ZhengPeng7/BiRefNet",
    revision="e2bf8e4460fc8fa32bba5ea4d94b3233d367b0e4",
    licence="MIT",
    licence_url="https://huggingface.co/ZhengPeng7/BiRefNet",
    runs_code=True,
    packages=("einops", "kornia", "timm", "torchvision"),
    download_bytes=445_000_000,
    note="Its network's Python code comes with the weights and runs on this machine.",
)

INSTANT_CHARACTER = CharacterAdapterSpec(
    title="InstantCharacter",
    adapter="tencent/InstantCharacter",
    adapter_file="instantcharacter_ip-adapter.bin",
    siglip="google/siglip-so400m-patch14-384",
    dino="facebook/dinov2-giant",
    licence="Tencent's licence of InstantCharacter, for research only",
    licence_url="https://huggingface.co/tencent/InstantCharacter",
    research_only=True,
    strength=0.9,  # of the published example; its app begins at 1
    download_bytes=2 * _INSTANT_CHARACTER_PARAMETERS + 4 * (_SIGLIP_PARAMETERS + _DINO_PARAMETERS),
    published_bytes=2
    * (_INSTANT_CHARACTER_PARAMETERS + _SIGLIP_VISION_PARAMETERS + _DINO_PARAMETERS),
    note="The weights may be used for research only; the image encoders SigLIP and DINOv2 are "
    "under Apache-2.0.",
)

# Chosen with `python -m evaluation.studies.settings` on characters that are not in the evaluation:
# a merge from 0.1 on loses more actions, a weaker one keeps the character less. The published
# cleanup of masks is for 64 x 64 tokens; on 16 x 16 it leaves even true masks an IoU of 0.6.
_MINIATURE_CONSISTENCY = ConsistencySettings(
    share_start=0.1,
    share_end=0.6,
    merge_start=0.2,
    merge_decay=1.0,
    merge_end=1.0,
    merge_weight=1.0,
    similarity_threshold=0.2,
    mask_erode=1,
    mask_dilate=1,
)
# Chosen in the same way, with 4 and with 8 steps (docs/evaluation.md has the tables): the fractions
# above share at 1 of 4 steps, and a whole merge at later ones leaves seams between tokens.
_MINIATURE_FEW_STEPS = (
    FewSteps(8, replace(_MINIATURE_CONSISTENCY, share_end=0.75, merge_weight=0.8)),
)

MINIATURE = ModelSpec(
    name="miniature",
    title="Throughline miniature",
    source=str(_MINIATURE_FOLDER),
    kind="embedded",
    gated=False,
    licence=_APACHE,
    licence_url=_APACHE_URL,
    non_commercial=False,
    width=256,
    height=256,
    steps=20,
    guidance_scale=2.0,
    true_cfg_scale=2.0,
    max_sequence_length=64,
    note="Ships with Throughline, downloads nothing and runs on a CPU; renders small cartoons.",
    consistency=_MINIATURE_CONSISTENCY,
    few_steps=_MINIATURE_FEW_STEPS,
    character_adapter=replace(
        _bundled_adapter(_MINIATURE_FOLDER),
        title="InstantCharacter in miniature",
        licence=_APACHE,
        licence_url=_APACHE_URL,
        note="Ships with Throughline; reads drawings of characters like its own.",
    ),
    preview=str(_latent_map(_MINIATURE_FOLDER)),
    # It has learnt guidance from 1 to 6; see miniature/README.md.
    made_for=MadeFor(steps=(10, 50), area=_around(256), guidance=(1, 6)),
    vocabulary=str(_vocabulary(_MINIATURE_FOLDER)),
)

FLUX1_DEV = ModelSpec(
    name="flux1-dev",
    title="FLUX.1 [dev]",
    source="black-forest-labs/FLUX.1-dev",
    kind="hub",
    gated=True,
    licence="FLUX.1 [dev] Non-Commercial License",
    licence_url="https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md",
    non_commercial=True,
    width=1024,
    height=1024,
    steps=50,
    guidance_scale=3.5,
    true_cfg_scale=1.0,
    max_sequence_length=512,
    published_parts=FLUX_DEV_PARTS,
    note="The model that CharaConsist was published with.",
    character_adapter=INSTANT_CHARACTER,
    preview="madebyollin/taef1",  # TAEF1, 10 MB under MIT, for the latents of all FLUX.1 models
    made_for=MadeFor(steps=(28, 50), area=_FLUX_AREA, guidance=(1.5, 5)),
)

FLUX1_SCHNELL = replace(
    FLUX1_DEV,
    name="flux1-schnell",
    title="FLUX.1 [schnell]",
    source="black-forest-labs/FLUX.1-schnell",
    licence=_APACHE,
    licence_url="https://huggingface.co/black-forest-labs/FLUX.1-schnell/blob/main/LICENSE.md",
    non_commercial=False,
    steps=4,
    guidance_scale=0.0,
    max_sequence_length=256,
    published_parts=FLUX_SCHNELL_PARTS,
    note="Distilled to four steps: fast, and free for commercial use.",
    made_for=MadeFor(steps=(1, 4), area=_FLUX_AREA),
    character_adapter=None,
)

FLUX1_KREA_DEV = replace(
    FLUX1_DEV,
    name="flux1-krea-dev",
    title="FLUX.1 Krea [dev]",
    source="black-forest-labs/FLUX.1-Krea-dev",
    licence_url="https://huggingface.co/black-forest-labs/FLUX.1-Krea-dev/blob/main/LICENSE.md",
    steps=28,
    guidance_scale=4.5,
    note="FLUX.1 [dev] trained further for a photographic look.",
    made_for=MadeFor(steps=(28, 32), area=_KREA_AREA, guidance=(3.5, 5)),
)

MODELS: tuple[ModelSpec, ...] = (MINIATURE, FLUX1_DEV, FLUX1_SCHNELL, FLUX1_KREA_DEV)


def find_model(name_or_path: str) -> ModelSpec:
    """Return the model of this name.

    Args:
        name_or_path: a name or repository of `MODELS`, a folder that holds a FLUX pipeline
            (`model_index.json` beside its components), or another repository on the hub, as
            "owner/name". A folder that exists goes before a repository of the same name. Any of
            these with ":FILE.gguf" after it takes its transformer from that file.

    Returns:
        Its specification; that of a folder comes from its configuration files.

    Raises:
        UnknownModelError: if it is none of these (the message suggests a similar name), or if the
            folder does not hold a FLUX pipeline.
    """
    wanted = name_or_path.strip()
    packed = _WITH_GGUF.fullmatch(wanted)
    if packed:
        return _with_gguf(find_model(packed["model"]), Path(os.path.expanduser(packed["file"])))
    for spec in MODELS:
        if wanted.casefold() in (spec.name, spec.source.casefold()):
            return spec
    folder = Path(os.path.expanduser(wanted))
    if wanted and os.path.isdir(folder):  # Path.is_dir fails at names that are too long
        return _spec_of_folder(folder.resolve())
    if wanted and folder.suffix in _SINGLE_FILES and os.path.isfile(folder):
        raise UnknownModelError(
            f"{folder} is a single file, and a model is a folder with a model_index.json.",
            f"Write flux1-dev:{folder}, to take the transformer from this file."
            if folder.suffix == ".gguf"
            else "Choose the same model as a folder in diffusers' format, or its repository.",
        )
    if _REPO_ID.fullmatch(wanted):
        return _spec_of_repository(wanted)
    known = ", ".join(spec.name for spec in MODELS)
    raise UnknownModelError(
        f"There is no model {wanted!r}.{suggestion(wanted)}",
        f"Known models: {known}; a folder with a FLUX pipeline or a Hugging Face repository "
        "(owner/name) works too.",
    )


def _with_gguf(spec: ModelSpec, file: Path) -> ModelSpec:
    if not os.path.isfile(file):
        raise UnknownModelError(
            f"There is no file {file}, which the transformer of {spec.title} should be read from.",
            "Check the path after the colon.",
        )
    path = str(file.resolve())
    return replace(
        spec,
        name=f"{spec.name}:{path}",
        title=f"{spec.title} with {file.name}",
        transformer_file=path,
        note=f"Its transformer is read from {file.name}.",
        files_state=spec.files_state + _files_state([Path(path)]),
    )


def suggestion(name: str) -> str:
    """Return " Did you mean 'x'?" for the most similar known name or repository; else ""."""
    spoken = {label.casefold(): label for spec in MODELS for label in (spec.name, spec.source)}
    near = difflib.get_close_matches(name.casefold(), spoken, n=1, cutoff=0.7)
    return f" Did you mean {spoken[near[0]]!r}?" if near else ""


def _spec_of_repository(repository: str) -> ModelSpec:
    return replace(
        FLUX1_DEV,
        name=repository,
        title=repository,
        source=repository,
        gated=False,
        licence="see the model's page",
        licence_url=f"https://huggingface.co/{repository}",
        non_commercial=False,
        published_parts=None,
        made_for=None,
        note="Not in Throughline's list: renders with the settings of FLUX.1 [dev].",
    )


def _spec_of_folder(folder: Path) -> ModelSpec:
    index = _read_config(folder / "model_index.json", folder)
    if component_class(index, "transformer") != "FluxTransformer2DModel":
        raise UnknownModelError(
            f"The folder {folder} holds a {index.get('_class_name', 'model')!r}, not a FLUX "
            "pipeline (its model_index.json names no FluxTransformer2DModel).",
            "Choose a folder with a FLUX.1 model in diffusers' format.",
        )
    transformer = _read_config(folder / "transformer" / "config.json", folder)
    scheduler = _read_config(folder / "scheduler" / "scheduler_config.json", folder)
    vae = _read_config(folder / "vae" / "config.json", folder)
    tokenizer = _read_config(folder / "tokenizer_2" / "tokenizer_config.json", folder)
    try:
        parts = parts_of_folder(folder)
    except FileFault as fault:
        raise UnknownModelError(str(fault), remedy_for_file("folder", fault)) from fault
    size = _pickled_bytes(folder) // 2 if parts is None else parts.parameters
    small = 0 < size < _SMALL_PARAMETERS
    kin = MINIATURE if small else FLUX1_DEV
    if transformer.get("guidance_embeds", False):
        base = kin
    elif scheduler.get("use_dynamic_shifting", False):
        base = replace(kin, guidance_scale=0.0, true_cfg_scale=_TRUE_CFG_SCALE)
    else:
        base = FLUX1_SCHNELL
    side = _side(vae, base.width)
    longest = 256 if base is FLUX1_SCHNELL else 512
    adapter, latent_map = _bundled_adapter(folder), _latent_map(folder)
    vocabulary = _vocabulary(folder)
    made_for = base.made_for
    if small and made_for is not None:
        made_for = replace(made_for, area=_around(side))
    return replace(
        base,
        name=str(folder),
        title=folder.name,
        source=str(folder),
        kind="folder",
        gated=False,
        licence="see the folder",
        licence_url="",
        non_commercial=False,
        width=side,
        height=side,
        max_sequence_length=min(longest, _number(tokenizer, "model_max_length", longest)),
        published_parts=None,
        note="A folder on this machine.",
        character_adapter=adapter if (Path(adapter.adapter) / "config.json").is_file() else None,
        preview=str(latent_map) if latent_map.is_file() else ("" if small else base.preview),
        made_for=made_for,
        vocabulary=str(vocabulary) if vocabulary.is_file() else "",
        files_state=_files_state(
            file
            for suffix in ("safetensors", "bin", "json")
            for file in folder.rglob(f"*.{suffix}")
        ),
    )


def _files_state(files: Iterable[Path]) -> str:
    """Return a digest of the paths, sizes and modification times of files."""
    found = ((path, path.stat()) for path in sorted(files) if path.is_file())
    states = [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found]
    return hashlib.sha256(repr(states).encode()).hexdigest()


def _read_config(path: Path, folder: Path) -> Mapping[str, Any]:
    if not os.path.lexists(path):
        raise UnknownModelError(
            f"The folder {folder} holds no FLUX pipeline: {path.relative_to(folder)} is missing."
            f"{_single_files(folder)}",
            "Choose a folder in diffusers' format, which FluxPipeline can open."
            if path.name == "model_index.json"
            else f"Get {path.relative_to(folder)} again; the model's other files can stay.",
        )
    try:
        return read_json(path)
    except FileFault as fault:
        raise UnknownModelError(str(fault), remedy_for_file("folder", fault)) from fault


def _single_files(folder: Path) -> str:
    """Return a sentence on the single-file checkpoints at the top of a folder; else ""."""
    names = [file.name for file in sorted(folder.iterdir()) if file.suffix in _SINGLE_FILES]
    if not names:
        return ""
    return f" It holds {names[0]}, which is a whole checkpoint or a part of one in a single file."


def _pickled_bytes(folder: Path) -> int:
    """Return the size of weights whose shapes only torch can read."""
    return sum(file.stat().st_size for file in folder.glob("*/*.bin") if file.is_file())


def _number(config: Mapping[str, Any], key: str, usual: int) -> int:
    """Return a whole number of a configuration; the usual one where it has none above 0."""
    value = config.get(key)
    found = isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value < inf
    return int(value) if found and value is not None else usual


def _side(vae: Mapping[str, Any], usual: int) -> int:
    """Return the side of pictures that an autoencoder was made for, as a storyboard can have it."""
    size = _number(vae, "sample_size", usual)
    if size > _LARGEST_SIDE:
        return usual
    return max(_SMALLEST_SIDE, size - size % _SIDE_STEP)
