"""Data of a storyboard: its bounds, and its frames by their ids."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from storyboard.board import (
    MAX_FRAMES,
    MAX_STYLES,
    Character,
    Frame,
    Identifier,
    RenderSettings,
    Storyboard,
    Style,
    new_id,
)

PICTURE = f"{'0123456789abcdef' * 4}.png"


def test_a_storyboard_survives_json() -> None:
    board = Storyboard(
        title="Zoë's Tag",
        character=Character(name="Zoë", description="a girl", reference=PICTURE, strength=0.7),
        frames=(
            Frame(id="f1", action="waving", location="beach", seed=3, reference_strength=0),
            Frame(character="a boy", locked=True),
        ),
        settings=RenderSettings(
            width=128,
            height=64,
            steps=4,
            guidance=2.5,
            identity="f1",
            styles=(Style(source="owner/name", weight=-0.5, trigger="in ink"),),
        ),
    )
    assert Storyboard.model_validate_json(board.model_dump_json()) == board


@pytest.mark.parametrize(
    "name",
    ["x.png", "0" * 64, "0" * 63 + ".png", "A" * 64 + ".png", f"../{PICTURE}", f"{PICTURE}\n"],
)
def test_a_character_refuses_what_is_no_name_of_a_picture(name: str) -> None:
    with pytest.raises(ValidationError):
        Character(reference=name)
    assert Character(reference=PICTURE).reference == PICTURE


@pytest.mark.parametrize("strength", [-0.1, 2.1, float("nan"), float("inf")])
def test_strengths_are_within_bounds(strength: float) -> None:
    for kind, field in ((Character, "strength"), (Frame, "reference_strength")):
        with pytest.raises(ValidationError):
            kind.model_validate({field: strength})
    with pytest.raises(ValidationError):
        Style(source="a.safetensors", weight=strength * 2 - 2)


def test_styles_are_few_and_name_their_lora() -> None:
    with pytest.raises(ValidationError):
        Style(source="  ")
    assert Style(source=" ink.safetensors ").source == "ink.safetensors"
    many = tuple(Style(source=str(i)) for i in range(MAX_STYLES + 1))
    assert RenderSettings(styles=many[:-1]).styles == many[:-1]
    with pytest.raises(ValidationError):
        RenderSettings(styles=many)


@pytest.mark.parametrize(
    "values",
    [
        {"seed": -1},
        {"seed": 2**32},
        {"id": "../up"},
        {"id": ""},
        {"action": "x" * 501},
        {"colour": "red"},
    ],
)
def test_a_frame_refuses(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Frame.model_validate(values)


@pytest.mark.parametrize("side", [0, 63, 100, 2064])
def test_settings_refuse_sizes_that_cannot_be_rendered(side: int) -> None:
    with pytest.raises(ValidationError):
        RenderSettings(width=side)


@pytest.mark.parametrize("guidance", [0, 0.99, 10.01, float("nan"), float("inf")])
def test_settings_refuse_guidance_that_no_model_has_learnt(guidance: float) -> None:
    with pytest.raises(ValidationError):
        RenderSettings(guidance=guidance)


def test_settings_from_before_there_was_guidance_have_the_models_own() -> None:
    stored = RenderSettings(steps=4).model_dump()
    del stored["guidance"]
    assert RenderSettings.model_validate(stored) == RenderSettings(steps=4)


@pytest.mark.parametrize("name", ["../up", "a b", "x" * 33, "a\n"])
def test_the_identity_frame_is_an_id_or_empty(name: str) -> None:
    assert RenderSettings(identity="f1").identity == "f1"
    assert RenderSettings().identity == ""
    with pytest.raises(ValidationError):
        RenderSettings(identity=name)


def test_a_frame_is_kept_where_it_is_locked_and_has_a_take() -> None:
    assert Frame(locked=True, take="t").kept
    assert not Frame(locked=True).kept and not Frame(take="t").kept


def test_words_of_a_frames_own_are_its_action_location_or_character() -> None:
    assert all(Frame(**{name: "x"}).has_words for name in ("action", "location", "character"))
    assert not Frame(action=" ", seed=3).has_words


def test_ids_are_unique_and_frames_limited() -> None:
    with pytest.raises(ValidationError, match="same id: a"):
        Storyboard(frames=(Frame(id="a"), Frame(id="a")))
    with pytest.raises(ValidationError):
        Storyboard(frames=tuple(Frame() for _ in range(MAX_FRAMES + 1)))


def test_frames_are_found_and_counted() -> None:
    board = Storyboard(frames=(Frame(id="a"), Frame(id="b")))
    assert board.position("b") == 1
    assert board.with_take("b", "t").frame("b").take == "t"
    assert board.with_take("gone", "t") == board
    with pytest.raises(KeyError):
        board.frame("gone")
    with pytest.raises(KeyError):
        board.position("gone")


def test_nobody_guesses_an_identifier() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(bytes.fromhex(one)) == 16 for one in ids)
    for one in (*ids, "d57c708418b2", "house"):  # earlier ones, and those of people, stay
        assert TypeAdapter(Identifier).validate_python(one) == one
