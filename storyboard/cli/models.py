"""`python -m storyboard models`: the known models, and the memory presets in which they fit.

Nothing but torch is loaded.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import replace

from pipelines.errors import ModelError, UnknownModelError
from pipelines.models.catalog import MODELS, find_model
from pipelines.models.presets import (
    GIGABYTE,
    MEMORY_PRESETS,
    Fit,
    Machine,
    MemoryPreset,
    Workload,
    choose,
    survey,
)
from pipelines.models.specs import ModelSpec
from storyboard.cli.arguments import argument
from storyboard.errors import UsageError
from storyboard.settings import Settings

_DESCRIPTION = """\
List the models, their licences, and in which memory presets they fit on this machine.

With --gpu, on a machine with such GPUs instead: to see what a card would do before it is bought.
Needs are counted for a picture of the model's own size. The key/value banks of source frames take
what is left; there are none where all frames are rendered side by side.
"""
_FOREGROUND = 0.3
_UNITS = ((GIGABYTE, "GB"), (10**6, "MB"), (10**3, "kB"))


def add_models(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the command line's parser."""
    command = add_parser(
        "models",
        help="list the models, and how they fit into memory",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=list_models)
    command.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        help="show only these: names of the list, folders, repositories, MODEL:FILE.gguf",
    )
    command.add_argument(
        "--gpu",
        metavar="GB[,GB...]",
        type=argument(parse_gigabytes),
        help="free memory of every GPU, as 24 or 24,24 (in 10^9 bytes: a card sold with 24 GB has "
        "25.8, less what its screen takes), in place of this machine's",
    )
    command.add_argument(
        "--host",
        metavar="GB",
        type=argument(parse_gigabytes),
        help="free host memory, in place of this machine's",
    )


def parse_gigabytes(text: str) -> tuple[int, ...]:
    """Return bytes from "24" or "24,24" gigabytes.

    Raises:
        ValueError: if one of them is not a number above 0.
    """
    sizes = []
    for part in text.split(","):
        try:
            size = float(part)
        except ValueError:
            size = 0.0
        if not 0 < size < 10**6:
            raise ValueError(f"{part!r} is not a number of gigabytes")
        sizes.append(int(size * GIGABYTE))
    return tuple(sizes)


def list_models(options: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        UserError: if something that was typed or set is at fault.
    """
    settings = Settings.from_environment(os.environ)
    try:
        specs = [find_model(name) for name in options.names] or MODELS
    except UnknownModelError as error:
        raise UsageError(str(error)) from error
    machine = _machine(options, settings)
    itemsize = 4 if settings.dtype == "float32" else 2
    here = options.gpu is None and options.host is None
    print(f"Memory: {_described(machine)}\n")
    for spec in specs:
        lines = _about(spec)
        if here:
            lines.append(_usable(spec, settings))
        try:
            lines += [*_memory(spec, machine, itemsize), *_banks(spec, itemsize)]
        except ModelError as error:  # of its files; the other models are listed all the same
            lines.append(f"memory: not known. {error}")
        print(f"{spec.name}  {spec.title}, {spec.width}x{spec.height}, {spec.steps} steps")
        print("".join(f"    {line}\n" for line in lines))
    print(
        "Memory presets, in the order in which auto tries them; choose one with --memory or in\n"
        "THROUGHLINE_MEMORY:"
    )
    for preset in MEMORY_PRESETS:
        if machine.kind in preset.devices:
            print(f"  {preset.name}: {preset.title}\n    {preset.note}")


def _machine(options: argparse.Namespace, settings: Settings) -> Machine:
    """Return the machine of the options; this one where they name none."""
    host: tuple[int, ...] | None = options.host
    if host is not None and len(host) > 1:
        raise UsageError("--host: there is one host.", "Give one number.")
    if options.gpu is not None:
        return Machine("cuda", options.gpu, None if host is None else host[0])
    from pipelines.engine import machine_here
    from storyboard.engine import engine_options

    machine = machine_here(engine_options(settings))
    return machine if host is None else replace(machine, host=host[0])


def _described(machine: Machine) -> str:
    host = "" if machine.host is None else f"{_size(machine.host)} of host memory"
    if machine.kind == "mps":
        return f"{host or 'an unknown amount'} that the GPU shares"
    gpus = ", ".join(f"a GPU with {_size(gpu)}" for gpu in machine.gpus)
    found = " and ".join(filter(None, [gpus, host]))
    return f"{found or 'an unknown amount'} free" + ("" if machine.gpus else ", no CUDA GPU")


def _about(spec: ModelSpec) -> list[str]:
    terms = " (non-commercial)" if spec.non_commercial else ""
    licence = f"{spec.licence}{terms}" + (f", {spec.licence_url}" if spec.licence_url else "")
    gated = [f"accept its terms at {spec.url}"] if spec.gated else []
    return [spec.note, f"licence: {licence}", *gated, f"reference pictures: {_references(spec)}"]


def _usable(spec: ModelSpec, settings: Settings) -> str:
    """Return whether a model runs, where that is known without starting the workers."""
    if settings.workers is not None:
        return "The workers decide whether it runs; the page asks them. This machine alone:"
    from storyboard.engine import usability

    return usability(spec, settings).words


def _references(spec: ModelSpec) -> str:
    """Return whether a model takes reference pictures, and under which licence."""
    subject = spec.character_adapter
    if subject is None:
        return "not supported"
    words = f"with {subject.title}, {subject.licence}"
    if subject.licence_url:
        words += f", {subject.licence_url}"
    if subject.download_bytes:
        words += f"; {subject.download_bytes / 1e9:.0f} GB more to download"
    return words


def _memory(spec: ModelSpec, machine: Machine, itemsize: int) -> list[str]:
    """Table of the presets: the memory they need, what they move, and whether they fit."""
    work = Workload.of(spec, itemsize)
    if work is None:
        when = "before the download" if spec.kind == "hub" else "without safetensors files"
        return [f"memory: not known, as the sizes of its networks are not known {when}"]
    chosen = choose(spec, machine, itemsize)
    rows = [("memory preset", "GPU" if machine.gpus else "", "host", "moves", "")]
    for found in survey(spec, machine, itemsize):
        if machine.kind in found.preset.devices:
            verdict = found.problem or "fits"
            verdict += " <- auto" if found == chosen and not found.problem else ""
            moved = _moved(found.preset, work) if machine.gpus else "-"
            rows.append((found.preset.name, *_needs(found), moved, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        f"{name:<{widths[0]}}  {gpu:>{widths[1]}}  {host:>{widths[2]}}  {moved:<{widths[3]}}  "
        f"{verdict}".rstrip()
        for name, gpu, host, moved, verdict in rows
    ]


def _banks(spec: ModelSpec, itemsize: int) -> list[str]:
    """Return lines on the size of the key/value bank that a source frame leaves behind."""
    from pipelines.engine import bank_bytes

    whole, packed = (bank_bytes(spec, size, _FOREGROUND) for size in (itemsize, 1))
    if whole is None or packed is None:
        return []
    return [
        f"bank of a source frame, {_FOREGROUND:.0%} of it the character: {_size(whole[0])}, "
        f"with its background {_size(whole[1])}",
        f"with THROUGHLINE_BANK=fp8 {_size(packed[0])} and {_size(packed[1])}; side by side none",
    ]


def _needs(found: Fit) -> tuple[str, str]:
    """Return the memory that a preset needs of GPUs, and of the host."""
    if found.need is None:
        return "", ""
    gpus = " + ".join(map(_size, found.need.gpus))
    return gpus, _size(found.need.host) if found.need.host else "-"


def _moved(preset: MemoryPreset, work: Workload) -> str:
    """Return the amount of weights that a preset moves to the GPU."""
    step, picture = preset.moved(work)
    if step:
        return f"{_size(step)} a step"
    return f"{_size(picture)} a picture" if picture else "-"


def _size(size: int) -> str:
    fitting = (f"{size / unit:.1f} {name}" for unit, name in _UNITS if size >= unit)
    return next(fitting, f"{size} bytes")
