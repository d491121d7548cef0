"""Banks of the real miniature on their way between two engines."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace

from pipelines.events import FrameDone, PipelineEvent, StepDone
from storyboard.board import Character, Frame, RenderSettings, Storyboard
from storyboard.engine import Engine
from storyboard.jobs import Bank, BankExchange, ModelLoading
from storyboard.planning import plan_render
from storyboard.settings import Settings

SETTINGS = Settings(device="cpu", dtype="float32")


def pictures_of(events: list[PipelineEvent | ModelLoading]) -> dict[str, bytes]:
    return {e.frame_id: e.image.tobytes() for e in events if isinstance(e, FrameDone)}


def test_what_a_frame_lends_is_the_same_after_a_journey() -> None:
    board = Storyboard(
        character=Character(description="a girl in a red hoodie"),
        frames=tuple(
            Frame(id=f"f{i}", location="beach", share_background=True, action="waving", seed=i)
            for i in range(3)
        ),
        settings=RenderSettings(width=64, height=64, steps=4),
    )
    whole = plan_render(board, None, {}, random.Random(0))
    first, second = Engine(SETTINGS), Engine(SETTINGS)
    expected = pictures_of(list(first.render(whole)))

    packed: dict[str, bytes] = {}
    held: dict[str, int] = {}

    def keep(name: str, bank: Bank) -> None:
        packed[name], held[name] = pickle.dumps(bank), bank.nbytes

    lending = replace(whole, frames=whole.frames[:2], targets=("f0", "f1"))
    painted = pictures_of(list(first.render(lending, banks=BankExchange(keep=keep))))
    assert packed.keys() == {"f0"}
    assert 0 < held["f0"] <= len(packed["f0"])
    reading = replace(whole, frames=(whole.frames[0], whole.frames[2]), targets=("f2",))
    events = list(second.render(reading, banks=BankExchange(packed)))
    assert {e.frame_id for e in events if isinstance(e, StepDone)} == {"f2"}
    painted |= pictures_of(events)
    assert painted == expected
    assert len(set(expected.values())) == 3
