"""The suite that is made from the drawn world, and the one that is committed."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from evaluation.drawn.scenes import draw_frame, draw_upload
from evaluation.drawn.suite import FRAMES, draw_others, main, make_reference_suite, make_suite
from evaluation.suite import Suite, SuiteCharacter, read_suite
from miniature.character.cast import HELD_OUT_SEED, TRAINING_SEED, character_scenes
from miniature.character.recipe import CAST_WORLD
from miniature.model.tokens import load_tokenizers, train_tokenizers
from miniature.world import vocabulary as v
from miniature.world.spec import WHOLE, views_of
from pipelines.reference.preparing import put_on_white

ROOT = Path(__file__).resolve().parents[3]
COMMITTED = ROOT / "assets" / "evaluation" / "suite-v1.json"
REFERENCES = ROOT / "assets" / "evaluation" / "references-v1.json"


@pytest.fixture(scope="module")
def suite() -> Suite:
    return make_suite(characters=6, prompts=8)


@pytest.fixture(scope="module")
def committed() -> Suite:
    return read_suite(COMMITTED)


@pytest.fixture(scope="module")
def references() -> Suite:
    return read_suite(REFERENCES)


def test_the_same_suite_is_made_again(suite: Suite) -> None:
    assert make_suite(characters=2, prompts=3) == replace(
        suite, characters=suite.characters[:2], prompts=suite.prompts[:3]
    )
    assert Suite.from_json(suite.to_json()) == suite


def test_a_smaller_world_gives_its_own_suite() -> None:
    world = replace(
        WHOLE,
        kinds=("cat",),
        places=("beach", "city", "cave", "park", "farm"),
        actions=("waving", "reading", "standing", "guitar", "lying", "cycling"),
    )
    suite = make_suite(world, characters=3, prompts=4)
    for case in (*suite.characters, *suite.prompts):
        assert case.attributes["kind"] == "cat"
        assert {frame.scene["place"] for frame in case.frames} <= set(world.places)
        assert {frame.scene["action"] for frame in case.frames} <= set(world.actions)
    narrow = replace(world, actions=("waving", "reading"))
    with pytest.raises(ValueError, match="5 different ones cannot be chosen from 2"):
        make_suite(narrow, characters=1, prompts=0)


def test_the_committed_suite_has_its_size(committed: Suite) -> None:
    assert (committed.width, committed.height) == v.SHAPES["square"]
    assert len(committed.characters) == 50
    assert {len(case.frames) for case in committed.characters} == {FRAMES}
    assert sum(case.shares_place for case in committed.characters) == 25
    assert len(committed.prompts) == 200
    assert COMMITTED.stat().st_size < 400_000


def test_characters_have_one_description_and_another_action_in_each_frame(committed: Suite) -> None:
    for case in committed.characters:
        assert len({frame.prompt.character for frame in case.frames}) == 1
        assert len({frame.scene["action"] for frame in case.frames}) == FRAMES
        places = {frame.scene["place"] for frame in case.frames}
        backgrounds = {frame.prompt.background for frame in case.frames}
        expected = 1 if case.shares_place else FRAMES
        assert len(places) == len(backgrounds) == expected
        assert len({frame.seed for frame in case.frames}) == FRAMES


def test_what_is_left_out_is_not_said(committed: Suite) -> None:
    colors = ("hair_color", "top_color", "bottom_color")
    for case in committed.characters:
        assert len(case.left_out) >= 2
        assert set(case.left_out) & set(colors)
        assert not any(set(case.left_out) & set(frame.stated) for frame in case.frames)
        said = set(case.frames[0].prompt.character.replace(",", "").split())
        unsaid = {case.attributes[name] for name in case.left_out}
        stated = {case.attributes[name] for name in case.attributes if name not in case.left_out}
        ambiguous = {"plain", "brown", "short", "black", "red", "white", "green", "blue", "pink"}
        assert not (unsaid - stated - ambiguous) & said


def test_whole_characters_are_seen_from_the_front(committed: Suite) -> None:
    for case in committed.characters:
        for frame in case.frames:
            assert frame.scene["shot"] == "full"
            assert frame.scene["view"] in ("front", "three-quarter")
            assert "front" in views_of(frame.scene["action"])


def test_every_prompt_states_its_place_and_kind(committed: Suite) -> None:
    for case in (*committed.characters, *committed.prompts):
        for frame in case.frames:
            assert {"place", "kind"} <= set(frame.stated) <= set(case.truth(0))
            assert all(case.truth(0)[name] != "none" for name in frame.stated if name != "kind")


def test_customary_attributes_are_not_stated(committed: Suite) -> None:
    frames = [case.frames[0] for case in committed.prompts]
    for name, words in (("time", "night"), ("weather", "rain"), ("view", "back")):
        shown = [frame for frame in frames if frame.scene[name] == words]
        assert any(name in frame.stated for frame in shown)
    by_day = [f for f in frames if (f.scene["time"], f.scene["weather"]) == ("day", "clear")]
    assert sum("time" in frame.stated for frame in by_day) < len(by_day) / 4


def test_the_miniature_reads_every_prompt_to_its_end(
    committed: Suite, references: Suite, tmp_path: Path
) -> None:
    train_tokenizers(tmp_path, text_tokens=64, prompts=200)
    tokenizer = load_tokenizers(tmp_path, 64).t5
    for case in (*committed.characters, *committed.prompts, *references.characters):
        for frame in case.frames:
            assert len(tokenizer(frame.prompt.text)["input_ids"]) <= 64, frame.prompt.text


def test_drawn_frames_show_the_character_where_the_prompt_says(suite: Suite) -> None:
    shared: SuiteCharacter = next(case for case in suite.characters if case.shares_place)
    pictures = [draw_frame(shared, index) for index in range(2)]
    assert pictures[0].shape == (suite.height, suite.width, 3)
    same = (pictures[0] == pictures[1]).all(axis=-1)
    assert same[:8].all() and not same.all()  # the same place, another figure


def test_other_pictures_are_a_fixed_sequence(suite: Suite) -> None:
    first, second = draw_others(suite, range(2))
    assert np.array_equal(draw_others(suite, [1])[0], second)
    assert not np.array_equal(first, second)


def test_the_command_writes_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.drawn.suite.make_suite", lambda: make_suite(WHOLE, 1, 1))
    main(["--out", str(tmp_path / "new" / "suite.json")])
    suite = read_suite(tmp_path / "new" / "suite.json")
    assert len(suite.characters) == 1 and not suite.has_references

    few = partial(make_reference_suite, characters=1)
    monkeypatch.setattr("evaluation.drawn.suite.make_reference_suite", few)
    main(["--references", "--out", str(tmp_path / "references.json")])
    assert read_suite(tmp_path / "references.json") == few()


def test_the_committed_references_are_made_again(references: Suite) -> None:
    assert len(references.characters) == 40 and not references.prompts
    some = make_reference_suite(characters=2, first=1)
    assert references.characters[1:3] == some.characters
    assert references.world == some.world


def test_prompts_beside_a_reference_state_the_kind_and_no_more(references: Suite) -> None:
    for case in references.characters:
        assert len({frame.prompt.character for frame in case.frames}) == 1
        assert len(case.frames[0].prompt.character.split()) <= 4, case.frames[0].prompt.character
        for frame in case.frames:
            assert set(frame.stated) & set(case.attributes) == {"kind"}
            assert set(frame.referred) <= set(case.left_out)
            assert not {"none", "plain"} & {case.attributes[name] for name in frame.referred}
            assert {"place", "action"} <= set(frame.stated)


def test_a_reference_shows_another_place_and_action_than_all_frames(references: Suite) -> None:
    for case in references.characters:
        assert case.reference is not None
        scenes = [frame.scene for frame in case.frames]
        assert len({scene["action"] for scene in scenes}) == len(scenes) == 5
        for name in ("place", "action"):
            assert case.reference.scene[name] not in {scene[name] for scene in scenes}


def test_two_frames_of_every_other_character_share_a_place(references: Suite) -> None:
    for number, case in enumerate(references.characters):
        shared = [i for i in range(5) if case.place_source(i) is not None]
        assert len(shared) == (number + 1) % 2
        places = [frame.scene["place"] for frame in case.frames]
        backgrounds = [frame.prompt.background for frame in case.frames]
        assert len(set(places)) == len(set(backgrounds)) == 5 - len(shared)
        for i in shared:
            source = case.place_source(i)
            assert source is not None
            assert places[i] == places[source] and backgrounds[i] == backgrounds[source]


def test_no_character_of_a_training_is_measured(references: Suite, committed: Suite) -> None:
    casts = ((TRAINING_SEED, 6000), (HELD_OUT_SEED, 100))
    trained = set()
    for seed in (first + 10 * i for first, count in casts for i in range(count)):
        scene = character_scenes(seed, 1, CAST_WORLD)[0]
        trained.add(tuple(asdict(scene.figures[0].character).values()))
    assert len(trained) > 6000
    known = {tuple(case.attributes.values()) for case in committed.characters}
    mine = {tuple(case.attributes.values()) for case in references.characters}
    assert len(mine) == 40
    assert not mine & (trained | known)
    seeds = [case.reference.seed for case in references.characters if case.reference]
    seeds += [frame.seed for case in references.characters for frame in case.frames]
    assert len(set(seeds)) == 240 and min(seeds) >= 2**30


def test_an_upload_is_the_whole_character_in_a_scene(references: Suite) -> None:
    case = references.characters[0]
    upload = draw_upload(case)
    assert upload.picture.size == upload.mask.size == (references.width, references.height)
    reference = put_on_white(upload.picture, np.asarray(upload.mask))
    assert 0.05 < reference.coverage < 0.5
    corner = reference.image.getpixel((0, 0))
    assert corner == (255, 255, 255)
    with pytest.raises(ValueError, match="'r01' has no reference"):
        draw_upload(replace(case, reference=None))


def test_drawn_frames_in_one_place_show_the_same_place(references: Suite) -> None:
    case = next(c for c in references.characters if c.place_source(4) is not None)
    source = case.place_source(4)
    assert source is not None
    one, other = draw_frame(case, source), draw_frame(case, 4)
    same = (one == other).all(axis=-1)
    assert same.mean() > 0.4 and not same.all()
