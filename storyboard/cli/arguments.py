"""Types of command-line arguments whose errors name what is expected."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from pydantic import ValidationError

from storyboard.board import MAX_STYLE_WEIGHT, Style

T = TypeVar("T")
Number = TypeVar("Number", int, float)

_STYLE = re.compile(r"(?P<source>.+?):(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))(?::(?P<trigger>.*))?")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """Return an argument type: a whole number within bounds."""
    return _within(int, "a whole number", lowest, highest)


def number(lowest: float, highest: float) -> Callable[[str], float]:
    """Return an argument type: a number within bounds."""
    return _within(float, "a number", lowest, highest)


def parse_style(text: str) -> Style:
    """Return a style from "SOURCE", "SOURCE:WEIGHT" or "SOURCE:WEIGHT:TRIGGER".

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


def argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return a parser as an argument type that keeps the words of a ValueError."""

    @wraps(parse)
    def wrapped(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return wrapped


def _within(
    kind: type[Number], what: str, lowest: Number, highest: Number
) -> Callable[[str], Number]:
    def parse(text: str) -> Number:
        try:
            value: Number | None = kind(text)
        except ValueError:
            value = None
        if value is None or not lowest <= value <= highest:
            raise ValueError(f"{text!r} is not {what} from {lowest} to {highest}")
        return value

    return argument(parse)
