"""What a running stack says about its services."""

from backend_demo.settings import Settings
from backend_demo.stack.base import ServiceStatus, Stack
from backend_demo.stack.services.table import not_asked_for, services_of


def asked_for(settings: Settings) -> list[str]:
    """The services that a stack with these settings shows, in their order."""
    absent = not_asked_for(settings.model_dump())
    return [name for name in services_of(settings.stack) if name not in absent]


def status_of(stack: Stack, name: str) -> ServiceStatus:
    """What `status` reports of one service or copy."""
    return next(status for status in stack.status() if status.name == name)


def state_of(stack: Stack, name: str) -> str:
    """The state of one service or copy, as `status` reports it."""
    return status_of(stack, name).state


def pid_of(stack: Stack, name: str) -> int | None:
    """The process of one service or copy; None while it has none."""
    return status_of(stack, name).pid


def all_ready(stack: Stack) -> bool:
    """Whether every service is ready, or off on purpose."""
    return all(status.state in ("ready", "off") for status in stack.status())
