"""The writer of compose files against a reader of YAML."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backend_demo.stack.compose.yaml import WIDTH, document
from backend_demo.stack.services.container import Alias, Anchor, Note, Override

TEXTS = st.text("ab1 .:,-_/$*&{}[]'\"#|>%@!?~=\\\n", max_size=12)
KEYS = st.text(st.sampled_from("abc-_/"), min_size=1, max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_is_written_is_read_again(mapping: dict[str, Any]) -> None:
    assert (yaml.safe_load(document(mapping)) or {}) == mapping


@pytest.mark.parametrize(
    "text", ["yes", "on", "1", "1e3", "0x1f", "10:20", "null", "~", "", "a: b", "a #b", "- a", "=", "2026-01-01"]
)
def test_a_text_that_looks_like_something_else_is_quoted(text: str) -> None:
    assert yaml.safe_load(document({"a": text, "b": [text]})) == {"a": text, "b": [text]}


def test_long_texts_are_folded_and_long_lists_broken() -> None:
    mapping = {"command": ["bash", "-c", "word " * 60 + "end"], "list": ["word" * 5] * 12}
    text = document(mapping)
    assert yaml.safe_load(text) == mapping
    assert max(map(len, text.splitlines())) <= WIDTH


def test_what_yaml_alone_has() -> None:
    text = document(
        {
            "x-base": Note("why", Anchor("base", {"a": 1, "b": 2})),
            "services": {"one": {"<<": Alias("base"), "b": 3, "ports": Override(["1:1"])}, "two": Alias("base")},
        },
        "head",
    )
    assert text == (
        "# head\n\n# why\nx-base: &base\n  a: 1\n  b: 2\n\n"
        'services:\n  one:\n    <<: *base\n    b: 3\n    ports: !override ["1:1"]\n  two: *base\n'
    )
