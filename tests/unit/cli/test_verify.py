"""What `verify` says when nothing is wrong."""

from backend_demo.cli.verify import summary
from backend_demo.domain.verdict import Retention, Verdict


def test_what_retention_has_dropped_is_said_if_it_has() -> None:
    said = "nothing is wrong: 3 averages, one for each reading, as PostgreSQL computes them"
    assert summary(Verdict(averages=3)) == said
    dropped = Retention(dropped_to=86_400.0, readings=5, averages=5)
    assert summary(Verdict(averages=3, retention=dropped)) == f"{said}; 5 readings before 1970-01-02 were dropped"
