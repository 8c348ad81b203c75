"""The reference pages and JSON Schemas say what the code says."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def generated() -> dict[Path, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


@pytest.mark.parametrize("path", sorted(generated()), ids=lambda path: path.stem)
def test_a_reference_page_is_current(path: Path) -> None:
    assert path.read_text() == generated()[path], "run: python docs/generate.py"


def test_there_is_no_schema_of_something_else() -> None:
    found = set((ROOT / "docs" / "reference" / "schemas").iterdir())
    assert found == {path for path in generated() if path.suffix == ".json"}
