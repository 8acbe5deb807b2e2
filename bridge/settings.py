"""The environment, parsed once, every fault at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bridge.errors import Faults

#: The three variables of metaflow-hitl keep their names.
APPRISE_URLS = "METAFLOW_HITL_APPRISE_URLS"
ARGO_UI_URL = "METAFLOW_HITL_ARGO_UI_URL"
ARGO_NAMESPACE = "METAFLOW_HITL_ARGO_NAMESPACE"
LEDGER = "HITL_LEDGER"
CACHE = "HITL_CACHE"
ENVIRONMENT = "HITL_ENVIRONMENT"
SIGN = "HITL_SIGN"

_SWITCH = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


@dataclass(frozen=True, slots=True)
class Settings:
    """What this machine is told from outside. Notification URLs hold tokens and are never shown."""

    ledger: str | None = field(default=None, repr=False)  # may hold a credential
    cache: Path = Path()
    environment: str | None = None
    apprise_urls: tuple[str, ...] = field(default=(), repr=False)
    argo_ui_url: str | None = None
    argo_namespace: str = "argo"
    sign: bool = False  # git signs what is recorded, with the key it is configured with


def from_environment(env: Mapping[str, str]) -> Settings:
    """Raises `Faults` naming every variable that is wrong."""
    faults = []
    ui = env.get(ARGO_UI_URL) or None
    if ui and not ui.startswith(("http://", "https://")):
        faults.append(f"{ARGO_UI_URL} is not an http(s) address")
    sign = _SWITCH.get(env.get(SIGN, "").lower())
    if sign is None:
        faults.append(f"{SIGN} is {env[SIGN]!r}; it is one of 1, true, yes, 0, false, no")
    if faults:
        raise Faults("the environment", faults)
    urls = env.get(APPRISE_URLS, "").split(",")
    return Settings(
        ledger=env.get(LEDGER) or None,
        cache=cache_folder(env),
        environment=env.get(ENVIRONMENT) or None,
        apprise_urls=tuple(url.strip() for url in urls if url.strip()),
        argo_ui_url=ui,
        argo_namespace=env.get(ARGO_NAMESPACE) or "argo",
        sign=bool(sign),
    )


def cache_folder(env: Mapping[str, str]) -> Path:
    if env.get(CACHE):
        return Path(env[CACHE])
    base = env.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path(env.get("HOME", "/")) / ".cache") / "approval-bridge"
