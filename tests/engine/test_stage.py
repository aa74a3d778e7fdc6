from dataclasses import replace

import pytest

from oolong.engine.stage import Input, Outcome, Recipe, Stage
from tests.support import stage_of


def test_recipes_depend_on_every_part() -> None:
    base = Recipe(stage="s", argv=(("a",),), sandbox={"E": "1"}, inputs={"i": "1"}, code="c")
    others = [
        replace(base, stage="t"),
        replace(base, argv=(("b",),)),
        replace(base, argv=(("a",), ("a",))),
        replace(base, sandbox={"E": "2"}),
        replace(base, inputs={"i": "2"}),
        replace(base, code="d"),
    ]
    assert len({recipe.digest for recipe in [base, *others]}) == 7


def test_a_stage_that_is_not_trusted_says_so_in_its_recipe_and_so_do_all_that_it_decides() -> None:
    def chain(*, vouched: bool, decides: bool = True) -> Stage:
        source = replace(stage_of("source", lambda work: Outcome()), vouched=vouched)
        # the digest alone decides: it is the same, whatever the source
        needed = Input(role="source", stage=source, digest="1" * 64, decides=decides)
        compiled = Stage(subject="cell", base=Recipe(stage="compile"), inputs=(needed,), work=lambda work: Outcome())
        return stage_of("link", lambda work: Outcome(), compiled)

    trusted, other = chain(vouched=True), chain(vouched=False)
    assert (trusted.trusted, other.trusted) == (True, False)
    assert trusted.recipe == trusted.base.with_inputs({"compile": trusted.needs[0].digest})
    for stage in (other, *other.needs, *other.needs[0].needs):
        assert stage.recipe.inputs["trusted"] == "false"
    assert trusted.needs[0].digest != other.needs[0].digest
    # a tool that has no say
    assert chain(vouched=False, decides=False).recipe == chain(vouched=True, decides=False).recipe


def test_no_input_takes_the_name_that_says_so() -> None:
    with pytest.raises(AssertionError):
        stage_of("compile", lambda work: Outcome(), stage_of("trusted", lambda work: Outcome()))
