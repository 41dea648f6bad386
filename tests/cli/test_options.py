"""Options are made from the fields of a section."""

import inspect
from typing import Annotated, Literal

import typer
from pydantic import Field

from s2s_cli.cli.options import with_section_options
from s2s_cli.config.schema import Section


class Cooking(Section):
    """A made-up section."""

    boil_minutes: Annotated[int, Field(ge=1, le=9)] = 3
    """How long
    to boil."""
    salt: Literal["none", "some"] = "some"
    """How much salt."""
    stir: bool = False
    """Whether to stir."""
    heat: float | None = None
    """Degrees; null: as hot as it gets."""


def make():
    received = []

    @with_section_options(Cooking, "Kitchen", without=["stir"])
    def cook(
        dish: Annotated[str, typer.Argument()],
        loud: Annotated[bool, typer.Option("--loud")] = False,
        overrides: dict | None = None,
    ) -> None:
        """Cook."""
        received.append((dish, loud, overrides))

    app = typer.Typer()
    app.command()(cook)
    return cook, app, received


def test_only_what_is_given_is_passed_on_and_is_read_as_yaml():
    _, app, received = make()
    app(["soup"], standalone_mode=False)
    app(["soup", "--boil-minutes", "4", "--salt", "none", "--loud"], standalone_mode=False)
    app(["soup", "--heat", "1e2", "--boil-minutes", "many"], standalone_mode=False)
    app(["soup", "--heat", "null"], standalone_mode=False)
    assert received == [
        ("soup", False, {}),
        ("soup", True, {"boil_minutes": 4, "salt": "none"}),
        ("soup", False, {"boil_minutes": "many", "heat": 100.0}),
        ("soup", False, {"heat": "null"}),  # the schema refuses it by name
    ]


def test_an_option_shows_values_bounds_default_and_the_documentation_of_its_setting():
    cook, _, _ = make()
    parameters = inspect.signature(cook).parameters
    assert list(parameters) == ["dish", "loud", "boil_minutes", "salt", "heat"]
    boil, salt, heat = (
        parameters[name].annotation.__metadata__[0] for name in ("boil_minutes", "salt", "heat")
    )
    assert (boil.metavar, boil.show_default, boil.help) == (
        "<int> [>=1 and <=9]",
        "3",
        "How long to boil.",
    )
    assert (salt.metavar, salt.show_default, salt.rich_help_panel) == (
        "<none|some>",
        "some",
        "Kitchen",
    )
    assert (heat.metavar, heat.show_default) == ("<float>", "null")
