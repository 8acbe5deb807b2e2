"""The pages of GitHub on which a person registers an App and installs it, each with its button."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from tests.github.accounts import Account, Refusal

if TYPE_CHECKING:
    from tests.github.server import GitHub, Request

#: Status, headers and text.
Page = tuple[int, dict[str, str], str]


def is_page(path: str) -> bool:
    match path.strip("/").split("/"):
        case [*_, "settings", "apps"] | [*_, "settings", "apps", "new"]:
            return True
        case ["apps", _, "installations"] | ["apps", _, "installations", "new"]:
            return True
        case ["favicon.ico"]:  # a browser asks for it by itself
            return True
    return False


def answer(world: GitHub, request: Request) -> Page:
    """What whoever is logged in is shown, or has done."""
    given = {name: each[0] for name, each in parse_qs(request.text).items()}
    match (request.method, *request.path.strip("/").split("/")):
        case ["POST", "organizations", owner, "settings", "apps", *rest]:
            return _registers(world, world.find_account(owner), rest, request, given)
        case ["POST", "settings", "apps", *rest]:
            return _registers(world, world.logged_in, rest, request, given)
        case ["GET", "apps", slug, "installations", "new"] if slug in world.apps:
            return _installing(world, slug)
        case ["POST", "apps", slug, "installations"] if slug in world.apps:
            return _installed(world, slug, request)
    return _page(404, "<h1>Not Found</h1>")


def _registers(
    world: GitHub,
    account: Account | None,
    rest: Sequence[str],
    request: Request,
    given: dict[str, str],
) -> Page:
    """First the page with the App's name, which may be changed there, then what its button does."""
    if account is None or "manifest" not in given:
        return _page(404, "<h1>Not Found</h1>")
    manifest = json.loads(given["manifest"])
    state = request.query.get("state")
    if list(rest) == ["new"]:
        path = request.path.removesuffix("/new")
        action = f"{path}?{urlencode({'state': state})}" if state else path
        return _page(
            200,
            f'<form method="post" action="{escape(action)}">'
            f'<input type="hidden" name="manifest" value="{escape(given["manifest"])}">'
            f'<label>GitHub App name <input name="name" value="{escape(manifest["name"])}"></label>'
            f"<button>Create GitHub App for {escape(account.login)}</button></form>",
        )
    try:
        code = world.register({**manifest, "name": given["name"]}, account)
    except Refusal as refusal:
        return _page(422, escape(refusal.message))
    back = urlencode({"code": code, **({"state": state} if state else {})})
    return 302, {"Location": f"{manifest['redirect_url']}?{back}"}, ""


def _installing(world: GitHub, slug: str) -> Page:
    owner = world.apps[slug].owner
    rows = "".join(
        f'<label><input type="checkbox" name="repository" value="{escape(each.full_name)}">'
        f"{escape(each.full_name)}</label>"
        for each in world.repositories.values()
        if each.owner is owner
    )
    return _page(
        200,
        f'<form method="post" action="/apps/{slug}/installations">'
        '<label><input type="radio" name="which" value="all" checked>All repositories</label>'
        '<label><input type="radio" name="which" value="some">Only select repositories</label>'
        f"{rows}<button>Install</button></form>",
    )


def _installed(world: GitHub, slug: str, request: Request) -> Page:
    given = parse_qs(request.text)
    chosen = given.get("repository", [])
    some = [each for each in world.repositories.values() if each.full_name in chosen]
    app = world.apps[slug]
    app.install(app.owner, None if given["which"] == ["all"] else some)
    return _page(200, f"<h1>Installed {escape(slug)}</h1>")


def _page(status: int, text: str) -> Page:
    return status, {"Content-Type": "text/html; charset=utf-8"}, f"<!doctype html>{text}"
