"""What every container of the compose stack must be given, in the files as they are written or as compose reads them.

A rule takes a service's name and its mapping, and names what is wrong: nothing when the service is as it should be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from backend_demo.stages.runtime.process import STOP_LIMIT_S

Service = Mapping[str, Any]
Rule = Callable[[str, Service], list[str]]

#: They run once, so nobody asks them for their health.
ONCE = ("setup", "kafka-setup", "migrate")

#: Brokers beside the first one, whose secrets they share.
BROKERS = ("kafka-2", "kafka-3")

#: They hold a port and do nothing.
HOLDERS = ("mqtt-port",)

RULES: list[Rule] = []


def rule(check: Rule) -> Rule:
    RULES.append(check)
    return check


@rule
def publishes_on_loopback_only(name: str, service: Service) -> list[str]:
    return [str(port) for port in service.get("ports", ()) if host_of(port) != "127.0.0.1"]


@rule
def writes_to_volumes_and_memory_only(name: str, service: Service) -> list[str]:
    wrong = [] if service.get("read_only") is True else ["read_only is missing"]
    unbounded = [mount for mount in service.get("tmpfs", ()) if ":size=" not in mount]
    bound = [mount for mount in map(Mount, service.get("volumes", ())) if mount.bind and not mount.read_only]
    return wrong + [f"{mount}: no size" for mount in unbounded] + [f"{mount.target} is writable" for mount in bound]


@rule
def has_no_privileges(name: str, service: Service) -> list[str]:
    wrong = [key for key in ("privileged", "cap_add", "devices", "pid", "ipc") if service.get(key)]
    if service.get("network_mode", "service:mqtt-port") not in {f"service:{holder}" for holder in HOLDERS}:
        wrong.append("network_mode")
    if service.get("cap_drop") != ["ALL"]:
        wrong.append("cap_drop is not ALL")
    if service.get("security_opt") != ["no-new-privileges:true"]:
        wrong.append("new privileges are possible")
    if str(service.get("user", "")).split(":")[0] in ("0", "root"):
        wrong.append("runs as root")
    return wrong + [m.target for m in map(Mount, service.get("volumes", ())) if "docker.sock" in m.source]


@rule
def is_limited(name: str, service: Service) -> list[str]:
    return [key for key in ("mem_limit", "pids_limit") if not service.get(key)]


@rule
def rotates_its_log(name: str, service: Service) -> list[str]:
    options = service.get("logging", {}).get("options", {})
    return [key for key in ("max-size", "max-file") if not options.get(key)]


@rule
def comes_back(name: str, service: Service) -> list[str]:
    wanted = "on-failure:3" if name in ONCE else "unless-stopped"
    return [] if service.get("restart") == wanted else [f"restart is {service.get('restart')}"]


@rule
def is_asked_for_its_health(name: str, service: Service) -> list[str]:
    check = service.get("healthcheck", {})
    if name in (*ONCE, *HOLDERS):
        return ["nobody waits for its health"] if check else []
    return [key for key in ("test", "interval", "timeout", "retries", "start_period") if not check.get(key)]


@rule
def has_time_to_finish(name: str, service: Service) -> list[str]:
    grace = re.fullmatch(r"(\d+)s", str(service.get("stop_grace_period")))
    return [] if grace and int(grace[1]) > STOP_LIMIT_S else [f"stop_grace_period {service.get('stop_grace_period')}"]


@rule
def waits_for_a_condition(name: str, service: Service) -> list[str]:
    needs = service.get("depends_on", {})
    if not isinstance(needs, dict):
        return ["the short form has no conditions"]
    wanted = {
        **dict.fromkeys(needs, "service_healthy"),
        **dict.fromkeys(ONCE, "service_completed_successfully"),
        **dict.fromkeys(HOLDERS, "service_started"),
    }
    return [need for need in needs if needs[need]["condition"] != wanted[need]]


@rule
def has_an_image_of_an_exact_version(name: str, service: Service) -> list[str]:
    image = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", service["image"])
    return [] if re.search(r":v?\d+\.\d+[\w.-]*$", image) else [image]


@rule
def is_given_secrets_as_files_only(name: str, service: Service) -> list[str]:
    words = ("PASSWORD", "SECRET", "TOKEN", "DSN", "CREDENTIAL", "PRIVATE", "API_KEY")
    environment = service.get("environment", {})
    arguments = service.get("build", {}).get("args", {}) if "build" in service else {}
    named = [key for key in (*environment, *arguments) if any(word in key for word in words)]
    inline = [key for key, value in environment.items() if re.search(r"://[^/\s]*:[^/\s]*@", str(value))]
    return [key for key in named if not key.endswith("_FILE")] + inline


@rule
def sees_its_own_secrets_only(name: str, service: Service) -> list[str]:
    mounts = [mount for mount in map(Mount, service.get("volumes", ())) if mount.source.endswith("-secrets")]
    if name == "setup":
        return [m.target for m in mounts if m.target != f"/secrets/{m.source.removesuffix('-secrets')}"]
    own = f"{'kafka' if name in BROKERS else name}-secrets"
    wrong = [m.source for m in mounts if m.source != own or m.target != "/run/secrets"]
    return wrong + [f"{m.source} is writable" for m in mounts if not m.read_only or not m.nocopy]


class Mount:
    """A volume of a service, in either form."""

    def __init__(self, entry: str | Mapping[str, Any]) -> None:
        if isinstance(entry, str):
            self.source, self.target, *options = entry.split(":")
            self.read_only, self.nocopy = "ro" in options, False
            self.bind = self.source.startswith((".", "/"))
        else:
            self.source, self.target = entry["source"], entry["target"]
            self.read_only = entry.get("read_only", False)
            self.nocopy = (entry.get("volume") or {}).get("nocopy", False)
            self.bind = entry["type"] == "bind"


def host_of(port: str | Mapping[str, Any]) -> str | None:
    """The address of this machine on which a port is published, in either form."""
    if isinstance(port, str):
        return port.split(":")[0] if port.count(":") > 1 else None
    return port.get("host_ip")


def broken(services: Mapping[str, Service], check: Rule) -> dict[str, list[str]]:
    """The services that break a rule, and how."""
    return {name: wrong for name, service in services.items() if (wrong := check(name, service))}
