"""Prompts: natural sentences that say what is true, and say where they say it."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from miniature.world import vocabulary as v
from miniature.world import wordings as w
from miniature.world.looks import LOOK_NAMES
from miniature.world.prompts import ScenePrompt, write_prompt
from miniature.world.spec import WHOLE, Character, Figure, SceneSpec, sample_spec, views_of

GIRL = Character(
    kind="girl",
    skin="pale",
    hair_style="long",
    hair_color="red",
    top="hoodie",
    top_color="purple",
    pattern="striped",
    bottom="shorts",
    bottom_color="orange",
    shoes="brown",
    headwear="crown",
    accessory="backpack",
)
ROBOT = replace(
    GIRL,
    kind="robot",
    skin="silver",
    hair_style="none",
    hair_color="none",
    top="coat",
    top_color="blue",
    pattern="dotted",
    bottom="trousers",
    bottom_color="white",
    headwear="beanie",
    accessory="glasses",
)
ALONE = SceneSpec("library", (Figure(GIRL, "waving"),))
TOGETHER = SceneSpec(
    "library", (Figure(GIRL, "waving", "left"), Figure(ROBOT, "running", "right", "side"))
)
WORDINGS = ("training", "held_out")


def prompts_of(spec, count, wordings="training", seed=0):
    rng = np.random.default_rng(seed)
    return [write_prompt(spec, rng, wordings) for _ in range(count)]


def words_of(text):
    return set(text.replace(",", " ").split())


def says(text, phrases):
    """Return whether a text holds one of the phrases, articles aside, in whole words."""
    bare = (phrase.removeprefix("a ").removeprefix("an ") for phrase in phrases)
    return any(re.search(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", text) for phrase in bare)


@pytest.fixture(scope="module")
def world():
    """Some thousand random scenes with a prompt of each wordings."""
    rng = np.random.default_rng(1)
    specs = [sample_spec(rng, replace(WHOLE, pair_share=0.3)) for _ in range(6000)]
    return specs, {name: [write_prompt(spec, rng, name) for spec in specs] for name in WORDINGS}


@pytest.mark.parametrize("wordings", WORDINGS)
def test_prompts_are_their_parts_joined_by_spaces(world, wordings):
    for prompt in world[1][wordings]:
        parts = [part for part in (prompt.background, prompt.character, prompt.action) if part]
        assert prompt.text == " ".join(parts)
        assert prompt.background
        assert not re.search(r"  | ,|,,|^[ ,]|[ ,]$|,\w", prompt.text)
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", prompt.text)
        for name, (start, stop) in prompt.spans.items():
            assert prompt.text[start:stop] == getattr(prompt, name)


def test_spans_of_a_prompt_without_a_background():
    prompt = ScenePrompt("", "a girl,", "waving")
    assert prompt.text == "a girl, waving"
    assert prompt.spans == {"background": (0, 0), "character": (0, 7), "action": (8, 14)}
    assert prompt.figure_spans == ()


@pytest.mark.parametrize("wordings", WORDINGS)
def test_empty_places_have_no_character_in_the_prompt(wordings):
    for prompt in prompts_of(SceneSpec("office"), 50, wordings):
        assert prompt.character == prompt.action == ""
        assert prompt.figure_spans == ()


@pytest.mark.parametrize("wordings", WORDINGS)
def test_the_spans_of_a_figure_hold_what_is_said_of_it(wordings):
    hers = (*w.TOP_WORDS["hoodie"], "purple", "shorts", "orange", "crown", "rucksack", "backpack")
    its = (
        *w.TOP_WORDS["coat"],
        "blue",
        *w.BOTTOM_WORDS["trousers"],
        "white",
        *w.KIND_WORDS["robot"],
    )
    for prompt in prompts_of(TOGETHER, 300, wordings):
        girl, robot = (
            {name: prompt.text[start:stop] for name, (start, stop) in spans.items()}
            for spans in prompt.figure_spans
        )
        assert "girl" in girl["character"]
        assert says(robot["character"], w.KIND_WORDS["robot"])
        assert says(girl["action"], w.ACTION_WORDS["waving"])
        assert says(robot["action"], w.ACTION_WORDS["running"])
        assert not says(girl["character"], its)
        assert not says(robot["character"], hers)
        assert not says(girl["action"], w.ACTION_WORDS["running"])
        assert not says(robot["action"], w.ACTION_WORDS["waving"])
        assert girl["character"] in prompt.character
        assert robot["action"] in prompt.action


def test_one_figure_has_the_whole_sentence_but_the_shot():
    for prompt in prompts_of(replace(ALONE, shot="wide"), 50):
        spans = prompt.figure_spans[0]
        assert prompt.text[slice(*spans["character"])] in prompt.character
        action = prompt.text[slice(*spans["action"])]
        assert says(prompt.action, w.SHOT_WORDS["wide"])
        assert not says(action, w.SHOT_WORDS["wide"])


SAID = {
    "skin": w.SKIN_WORDS["pale"],
    "hair_style": ("long",),
    "hair_color": (*w.HAIR_COLOR_WORDS["red"], "red-haired", "ginger-haired"),
    "top": w.TOP_WORDS["hoodie"],
    "top_color": ("purple",),
    "pattern": ("striped",),
    "bottom": ("shorts",),
    "bottom_color": ("orange",),
    "headwear": ("crown",),
    "accessory": w.ACCESSORY_WORDS["backpack"],
}


@pytest.mark.parametrize("wordings", WORDINGS)
def test_prompts_say_what_is_not_hidden_and_nothing_that_is(wordings):
    counts = Counter()
    for prompt in prompts_of(ALONE, 400, wordings):
        for name, phrases in SAID.items():
            assert says(prompt.character, phrases) == (name not in prompt.hidden), (name, prompt)
            counts[name] += name in prompt.hidden
    assert set(SAID) == set(LOOK_NAMES)
    assert all(40 < counts[name] < 360 for name in SAID), counts


@pytest.mark.parametrize("wordings", WORDINGS)
def test_two_figures_hide_each_its_own(wordings):
    counts = Counter()
    for prompt in prompts_of(TOGETHER, 300, wordings):
        for name, hers, its in (
            ("top_color", ("purple",), ("blue",)),
            ("bottom_color", ("orange",), ("white",)),
            ("top", w.TOP_WORDS["hoodie"], w.TOP_WORDS["coat"]),
            ("accessory", w.ACCESSORY_WORDS["backpack"], w.ACCESSORY_WORDS["glasses"]),
        ):
            assert says(prompt.character, hers) == (name not in prompt.hidden)
            assert says(prompt.character, its) == (name not in prompt.hidden_second)
        where = prompt.character + prompt.action
        stated = "left" in where.replace("facing left", "").replace("looking left", "")
        assert stated or "position" in prompt.hidden
        counts.update(f"first {name}" for name in prompt.hidden)
        counts.update(f"second {name}" for name in prompt.hidden_second)
    assert counts["first facing"] == 300  # a waving girl's facing is never stated
    assert 60 < counts["second facing"] < 180
    assert counts["first view"] == counts["second view"] == 0
    assert all(30 < counts[f"{one} top"] < 270 for one in ("first", "second"))


def test_two_of_a_kind_are_distinguished():
    spec = replace(TOGETHER, figures=(TOGETHER.figures[0], Figure(GIRL, "hips", "right")))
    for wordings in WORDINGS:
        for prompt in prompts_of(spec, 200, wordings):
            first, second = (prompt.text[slice(*s["action"])] for s in prompt.figure_spans)
            assert "left" in first and "right" in second
            assert "position" not in prompt.hidden | prompt.hidden_second


def test_two_who_do_the_same_share_the_words():
    same = replace(TOGETHER, figures=tuple(replace(f, action="dancing", view="front")
                                           for f in TOGETHER.figures))  # fmt: skip
    shared = [p for p in prompts_of(same, 200) if "both" in p.action or "they" in p.action]
    assert 80 < len(shared) < 160
    for prompt in shared:
        first, second = prompt.figure_spans
        assert first["action"] == second["action"]


@pytest.mark.parametrize("wordings", WORDINGS)
@pytest.mark.parametrize("action", v.ACTIONS)
def test_how_a_figure_is_seen_is_said_or_hidden(action, wordings):
    for view in views_of(action):
        figure = Figure(GIRL, action, "right", view, "left")
        prompts = prompts_of(SceneSpec("cafe", (figure,), "close"), 40, wordings)
        for prompt in prompts:
            assert says(prompt.action, w.SHOT_WORDS["close"])
            viewed = says(prompt.action, w.VIEW_WORDS[view])
            if view in ("back", "three-quarter"):
                assert viewed == ("view" not in prompt.hidden)
                assert view != "back" or viewed
            else:
                assert "view" not in prompt.hidden
            facing = re.search(r"\b(?:facing|looking|pointing|head) .*\bleft\b", prompt.action)
            assert bool(facing) == ("facing" not in prompt.hidden)
            placed = says(prompt.action, w.POSITION_WORDS["right"])
            assert placed == ("position" not in prompt.hidden)
            assert not (view == "back" and "at the camera" in prompt.action)


TIMES = {time: (*w.TIME_WORDS[time], *w.SKY_WORDS.get(time, ()), time) for time in v.TIMES}


@pytest.mark.parametrize("wordings", WORDINGS)
@pytest.mark.parametrize("time", v.TIMES)
@pytest.mark.parametrize("weather", v.WEATHERS)
def test_time_and_weather_are_said_and_never_contradicted(time, weather, wordings):
    for place in v.OUTDOORS:
        spec = SceneSpec(place, ALONE.figures, time=time, weather=weather)
        for prompt in prompts_of(spec, 25, wordings):
            said = {name for name, words in TIMES.items() if says(prompt.background, words)}
            assert said <= {time}
            assert said or time == "day"
            for name in ("rain", "fog"):
                phrases = (*w.WEATHER_WORDS[name], *w.WEATHER_ADJECTIVES[name])
                assert says(prompt.background, phrases) == (name == weather)
            if (time, weather) != ("day", "clear"):
                assert not re.search(r"\bsunny\b|\bsun\b|blue sky", prompt.background)


def test_every_word_of_the_tables_is_used(world):
    texts = " . ".join(prompt.text for prompt in world[1]["training"])
    for table in w.TABLES:
        for name, phrases in table.items():
            if table is w.WEATHER_ADJECTIVES:
                continue
            bare = [phrase.removeprefix("a ").removeprefix("an ") for phrase in phrases]
            assert any(phrase in texts for phrase in bare), (name, phrases)
    assert tuple(w.ACTION_WORDS) == v.ACTIONS


def test_held_out_prompts_are_made_of_known_words(world):
    known = set().union(*(words_of(prompt.text) for prompt in world[1]["training"]))
    new = set().union(*(words_of(prompt.text) for prompt in world[1]["held_out"]))
    assert new <= known, new - known


def _blanks():
    """Every phrase for an attribute and the attribute's name, the longest phrases first."""
    names = {}
    for number, table in enumerate(w.TABLES):
        names.update((phrase, f"<{number}>") for phrases in table.values() for phrase in phrases)
    colors = {c for t in (w.CLOTH_COLOR_WORDS, w.FUR_WORDS, w.METAL_WORDS, w.SKIN_WORDS,
                          w.HAIR_COLOR_WORDS) for words in t.values() for c in words}  # fmt: skip
    names.update((color, "<color>") for color in colors)
    names.update((f"{color}-haired", "<color>") for color in colors)
    names.update((adjective, "<color>") for adjective in (*w.ADJECTIVES, "little"))
    for heads, tails in v.PLACE_WORDS.values():
        names.update((head, "<place>") for head in heads)
        names.update((tail, "<tail>") for tail in tails)
    phrases = sorted(names, key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, phrases))})(?![\w-])")
    return lambda text: pattern.sub(lambda found: names[found[0]], re.sub(r"\ban\b", "a", text))


def test_held_out_prompts_have_sentences_that_training_never_uses(world):
    blanked = _blanks()
    known = {blanked(prompt.text) for prompt in world[1]["training"]}
    new = [blanked(prompt.text) for prompt in world[1]["held_out"]]
    assert not known.intersection(new)
    actions = {blanked(p.action) for p in world[1]["training"]}
    assert not actions.intersection(blanked(p.action) for p in world[1]["held_out"] if p.action)


def test_held_out_places_pair_phrases_that_training_never_pairs(world):
    pairs = {name: set() for name in WORDINGS}
    for name in WORDINGS:
        for spec, prompt in zip(world[0], world[1][name], strict=True):
            heads, tails = v.PLACE_WORDS[spec.place]
            said = [(h, t) for h in heads for t in tails if f"{h} {t}" in prompt.background]
            if said:  # a short tail can be the beginning of a longer one
                pairs[name].add(max(said, key=lambda pair: len(" ".join(pair))))
    assert len(pairs["training"]) > 100 and len(pairs["held_out"]) > 50
    assert not pairs["training"] & pairs["held_out"]


@pytest.mark.parametrize("wordings", WORDINGS)
def test_prompts_have_room_in_the_sequence(world, wordings):
    lengths = [len(re.findall(r"[^\s,]+|,", prompt.text)) for prompt in world[1][wordings]]
    assert np.quantile(lengths, 0.999) <= 62
    assert np.mean(lengths) > 20


def test_equal_seeds_give_equal_prompts():
    assert prompts_of(TOGETHER, 5, seed=3) == prompts_of(TOGETHER, 5, seed=3)
    assert len({prompt.text for prompt in prompts_of(TOGETHER, 100)}) > 95


def test_unknown_wordings_are_refused():
    with pytest.raises(ValueError, match="'formal'"):
        write_prompt(ALONE, np.random.default_rng(0), "formal")
