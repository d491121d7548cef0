"""Banks of the real miniature, sent between two engines."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import UserError
from pipelines.events import FrameDone, ModelLoading, PipelineEvent, StepDone
from pipelines.exchange import BankExchange, PortableBank
from pipelines.request import RenderBudget, RenderRequest
from storyboard.board import Character, Frame, RenderSettings, Storyboard
from storyboard.engine import Engine
from storyboard.planning import plan_render
from storyboard.settings import Settings

SETTINGS = Settings(device="cpu", dtype="float32")


def pictures_of(events: list[PipelineEvent | ModelLoading]) -> dict[str, bytes]:
    return {e.frame_id: e.image.tobytes() for e in events if isinstance(e, FrameDone)}


@pytest.fixture(scope="module")
def whole() -> RenderRequest:
    board = Storyboard(
        character=Character(description="a girl in a red hoodie"),
        frames=tuple(
            Frame(id=f"f{i}", location="beach", share_background=True, action="waving", seed=i)
            for i in range(3)
        ),
        settings=RenderSettings(width=64, height=64, steps=4),
    )
    return plan_render(board, None, {}, random.Random(0))


@pytest.fixture(scope="module")
def expected(whole: RenderRequest) -> dict[str, bytes]:
    found = pictures_of(list(Engine(SETTINGS).render(whole)))
    assert len(set(found.values())) == 3
    return found


def test_a_bank_that_is_sent_gives_the_same_pictures(
    whole: RenderRequest, expected: dict[str, bytes]
) -> None:
    first, second = Engine(SETTINGS), Engine(SETTINGS)
    packed: dict[str, bytes] = {}
    held: dict[str, int] = {}

    def keep(name: str, bank: PortableBank) -> None:
        packed[name], held[name] = pickle.dumps(bank), bank.nbytes

    sending = replace(whole, frames=whole.frames[:2], targets=("f0", "f1"))
    pictures = pictures_of(list(first.render(sending, banks=BankExchange(keep=keep))))
    assert packed.keys() == {"f0"}
    assert 0 < held["f0"] <= len(packed["f0"])
    reading = replace(whole, frames=(whole.frames[0], whole.frames[2]), targets=("f2",))
    events = list(second.render(reading, banks=BankExchange(packed)))
    assert {e.frame_id for e in events if isinstance(e, StepDone)} == {"f2"}
    pictures |= pictures_of(events)
    assert pictures == expected


def rendered_with(budget: RenderBudget, whole: RenderRequest) -> list[PipelineEvent | ModelLoading]:
    return list(Engine(replace(SETTINGS, budget=budget)).render(whole))


def test_frames_are_rendered_in_the_order_that_the_settings_name(whole: RenderRequest) -> None:
    turns = {}
    for order in ("bank", "lockstep"):
        events = rendered_with(RenderBudget(order=order), whole)
        names = [event.frame_id for event in events if isinstance(event, StepDone)]
        turns[order] = sum(one != two for one, two in pairwise(names))
    assert turns["bank"] == 2
    assert turns["lockstep"] > 6


def test_banks_that_fit_into_no_memory_lie_in_the_folder_of_the_settings(
    whole: RenderRequest, expected: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match="Not enough memory for the keys and values that frames share: no room for"
    ) as caught:
        rendered_with(RenderBudget(order="bank", host_bytes=0), whole)
    assert "THROUGHLINE_BANK_FOLDER" in caught.value.remedy
    folder = tmp_path / "banks"
    events = rendered_with(RenderBudget(order="bank", host_bytes=0, folder=folder), whole)
    assert pictures_of(events) == expected
    assert folder.is_dir()
    assert not list(folder.iterdir())


def test_a_folder_of_banks_that_is_a_file_is_named(whole: RenderRequest, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match=f"cannot be kept in {file}") as caught:
        rendered_with(RenderBudget(order="bank", host_bytes=0, folder=file), whole)
    assert "THROUGHLINE_BANK_FOLDER" in caught.value.remedy


def test_banks_in_8_bits_give_nearly_the_same_pictures(
    whole: RenderRequest, expected: dict[str, bytes]
) -> None:
    found = pictures_of(rendered_with(RenderBudget(order="bank", bank_dtype="fp8"), whole))
    assert found != expected
    assert found["f0"] == expected["f0"]  # which has no source frame
    for name, picture in found.items():
        one, two = (np.frombuffer(data, np.uint8).astype(int) for data in (picture, expected[name]))
        assert np.abs(one - two).mean() < 2
