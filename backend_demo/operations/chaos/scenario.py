"""Scenarios: faults at given times, from a TOML file or one of those that come with bdemo."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from backend_demo.domain.fault import FaultKind, ServiceFault, first_clash
from backend_demo.errors import ConfigurationInvalid, UnknownName

FOLDER = Path(__file__).parent / "scenarios"

#: Without a time of its own, a scenario ends so long after its last fault, seconds.
CALM_S = 10.0
LONGEST_S = 86_400.0


@dataclass(frozen=True)
class Scenario:
    """A plan with a name."""

    name: str
    about: str
    duration_s: float
    """How long the load lasts, at least."""
    faults: tuple[ServiceFault, ...]


class _FaultEntry(msgspec.Struct, forbid_unknown_fields=True):
    at: float
    kind: FaultKind
    service: str
    lasts: float = msgspec.field(name="for", default=0.0)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    fault: list[_FaultEntry]
    about: str = ""
    duration: float | None = None


def names() -> list[str]:
    """The scenarios that come with bdemo."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(given: str) -> Scenario:
    """The scenario of that name, or of that file. Raises UnknownName, ConfigurationInvalid."""
    if given in names():
        return read(FOLDER / f"{given}.toml")
    if not (given.endswith(".toml") or "/" in given):
        raise UnknownName("scenario", given, names())
    return read(Path(given))


def read(path: Path) -> Scenario:
    """The scenario in a file. Raises ConfigurationInvalid."""
    try:
        file = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File, strict=True)
    except OSError as problem:
        raise ConfigurationInvalid(
            f"cannot read the scenario {path}: {problem.strerror}", hint="see which there are: bdemo chaos ls"
        ) from problem
    except ValueError as problem:  # of which those of tomllib, msgspec and UTF-8 are
        raise _invalid(path, str(problem)) from problem
    faults = tuple(ServiceFault(each.at, each.kind, each.service, each.lasts) for each in file.fault)
    if problem_found := _problem(faults, file.duration):
        raise _invalid(path, problem_found)
    last_s = max(fault.end_s for fault in faults)
    return Scenario(path.stem, file.about, last_s + CALM_S if file.duration is None else file.duration, faults)


def _problem(faults: Sequence[ServiceFault], duration_s: float | None) -> str:
    """What is wrong with a scenario; empty when nothing is."""
    if not faults:
        return "there is no fault"
    for number, fault in enumerate(faults, 1):
        # also refuses NaN
        if not (0 <= fault.at_s <= LONGEST_S and 0 <= fault.for_s <= LONGEST_S):
            return f"fault {number}: `at` and `for` must be from 0 to {LONGEST_S:,.0f} seconds"
        if fault.kind == "pause" and not fault.for_s:
            return f"fault {number}: a pause needs `for`, in seconds"
    if clash := first_clash(faults):
        return f"{clash[0].service} would suffer the faults at {clash[0].at_s:g} s and {clash[1].at_s:g} s together"
    last_s = max(fault.end_s for fault in faults)
    if duration_s is not None and not last_s <= duration_s <= LONGEST_S:
        return f"`duration` must be from {last_s:g}, where the last fault ends, to {LONGEST_S:,.0f} seconds"
    return ""


def _invalid(path: Path, reason: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(
        f"invalid scenario {path}: {reason}",
        hint='a fault reads: [[fault]], at = 5, kind = "kill", service = "loader", for = 10',
    )
