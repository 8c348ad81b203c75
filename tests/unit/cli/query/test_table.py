"""Names in the tables of `bdemo query`."""

from rich.console import Console

from backend_demo.cli.query.picture import picture
from backend_demo.cli.query.table import line
from backend_demo.domain.names import number_of
from backend_demo.operations.query import Answer


def test_a_sensor_is_shown_by_its_name_and_a_name_commands_nothing() -> None:
    strange = "[red]x\x1b[2J"
    kitchen, other = number_of("kitchen"), number_of("[red]x")
    rows = [(7, 1.5, 20.0), (kitchen, 1.5, 21.0), (other, 1.5, 22.0)]
    answer = Answer("latest", rows, names={kitchen: "kitchen", other: strange})
    console = Console(width=100, color_system=None)
    with console.capture() as shown:
        console.print(picture(answer, rows, console, chart=False))
    words = [text.split()[0] for text in shown.get().splitlines() if text.strip()]
    assert words[-3:] == ["7", "kitchen", "[red]x\\x1b[2J"]
    assert line(answer, rows[1]).split()[2] == "kitchen"
