"""Recipes: those that come with Scanside, and users' own."""

import re

import pytest
from click.testing import CliRunner

from scanside.runtime.errors import RecipeError, UnknownRecipeError
from scanside.runtime.manifest import Percentiles, Window
from scanside.train.cli import recipes, train
from scanside.train.recipe import LowDose
from scanside.train.recipes import load_recipe, parse_recipe, recipe_names, recipe_text

ASKED = {"denoise-ct", "denoise-mr", "denoise-xray", "denoise-us", "sr-ct", "sr-mr"}


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_under_its_name(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.crop % (2 * 8) == 0  # of the deepest network, at half resolution
    assert len(recipe_text(name).splitlines()) < 50


def test_the_asked_ones_are_there():
    assert set(recipe_names()) >= ASKED


@pytest.mark.parametrize("name", ["denoise-ct", "quick-ct", "denoise-mr"])
def test_the_margin_is_four_deviations_of_the_largest_noise(name):
    """The design's rule."""
    recipe = load_recipe(name)
    if isinstance(recipe.intensity, Window):
        assert isinstance(recipe.degradation, LowDose)
        assert recipe.intensity.margin >= 4 * recipe.degradation.sigma_hu[1]
    else:  # both in shares of about the 99th percentile
        assert isinstance(recipe.intensity, Percentiles)
        assert recipe.intensity.margin >= 4 * recipe.degradation.percent[1] / 100


def test_a_copied_recipe_is_a_users_own(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(re.sub(r"(?m)^steps = \d+$", "steps = 77", recipe_text("denoise-ct")))
    assert load_recipe(str(mine)).steps == 77


@pytest.mark.parametrize(
    ("wrong", "right", "what"),
    [
        ("learning_rat = 1", "learning_rate", "there is no key 'learning_rat'"),
        ("[degradation]\ntype='low dose'\nsigma = [1, 2]", "sigma_hu", "in [degradation]"),
    ],
)
def test_a_wrong_key_is_told_with_the_nearest_right_one(wrong, right, what):
    text = recipe_text("quick-ct").split("[intensity]")[0]
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text + wrong, "mine.toml")
    assert what in caught.value.message
    assert f"did you mean {right!r}" in caught.value.message
    assert "mine.toml" in caught.value.message


@pytest.mark.parametrize("text", ["steps = [", 'steps = "many"', "steps = 1e", "\x00"])
def test_what_is_no_recipe_is_refused(text):
    with pytest.raises(RecipeError):
        parse_recipe(text, "mine.toml")


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(UnknownRecipeError) as caught:
        load_recipe("denoise-ctt")
    assert "denoise-ct'" in caught.value.message
    assert "sr-mr" in caught.value.next_step
    with pytest.raises(UnknownRecipeError, match="cannot be read"):
        load_recipe("nowhere.toml")


def test_the_verb_lists_and_prints():
    listed = CliRunner().invoke(recipes).output
    assert all(name in listed for name in ASKED)
    assert CliRunner().invoke(recipes, ["sr-mr"]).output == recipe_text("sr-mr")
    assert "Example" in CliRunner().invoke(train, ["--help"]).output
