"""What can be typed on the command line, each read with a fault that says what was expected."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from storyboard.board import MAX_STYLE_WEIGHT, Style

_STYLE = re.compile(r"(?P<source>.+?):(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))(?::(?P<trigger>.*))?")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """Reads a whole number within bounds."""

    def parse(text: str) -> int:
        number = int(text) if text.isdecimal() else -1
        if not lowest <= number <= highest:
            raise ValueError(f"{text!r} is not a whole number from {lowest} to {highest}")
        return number

    return argument(parse, "number")


def number(lowest: float, highest: float) -> Callable[[str], float]:
    """Reads a number within bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not lowest <= value <= highest:
            raise ValueError(f"{text!r} is not a number from {lowest} to {highest}")
        return value

    return argument(parse, "number")


def parse_style(text: str) -> Style:
    """A style from "SOURCE", "SOURCE:WEIGHT" or "SOURCE:WEIGHT:TRIGGER".

    Raises:
        ValueError: if it is none of these, or the weight is out of bounds.
    """
    match = _STYLE.fullmatch(text)
    if match is None and ":" in _DRIVE.sub("", text, count=1):
        raise ValueError(f"{text!r} is not SOURCE, SOURCE:WEIGHT or SOURCE:WEIGHT:TRIGGER")
    values = {"source": text} if match is None else match.groupdict(default="")
    try:
        return Style.model_validate(values)
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("weight",):
            raise ValueError(
                f"the weight of {values['source']!r} is not from -{MAX_STYLE_WEIGHT} to "
                f"{MAX_STYLE_WEIGHT}"
            ) from error
        raise ValueError(f"{text!r} names no LoRA") from error


def argument(parse: Callable[[str], Any], name: str) -> Callable[[str], Any]:
    """The same for argparse, which drops a ValueError's words."""

    def wrapped(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    wrapped.__name__ = name
    return wrapped
