from dataclasses import replace

from oolong.engine.stage import Recipe


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
