"""ETags, and how `If-None-Match` is compared with them."""

import pytest

from backend_demo.gateway.rows import etags as caching


def test_an_etag_tells_its_parts_apart() -> None:
    parts = [(), ("ab",), ("a", "b"), (b"ab",), (1,), (1.0,), ("1",), ((1, 2),), (1, 2)]
    assert len({caching.etag(*each) for each in parts}) == len(parts)
    assert caching.etag("a", 1) == caching.etag("a", 1)


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        (None, False),
        ("", False),
        ('W/"1"', True),
        ('"1"', True),
        ('"0", W/"1"', True),
        ("*", True),
        ('W/"11"', False),
        ("1", False),
    ],
)
def test_tags_are_compared_weakly(header: str | None, matches: bool) -> None:
    assert caching.matches(header, 'W/"1"') == matches
