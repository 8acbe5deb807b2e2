"""Users, organisations, teams, Apps and the tokens they mint; limits and the root."""

from __future__ import annotations

from tests.github import shapes
from tests.github.accounts import (
    Account,
    App,
    Installation,
    Organisation,
    Refusal,
    Team,
    Token,
    not_found,
)
from tests.github.rest.route import Answer, Call, serves


@serves("meta/get")
def _meta(call: Call) -> Answer:
    return Answer(200, {"verifiable_password_authentication": False})


@serves("rate-limit/get")
def _rate_limit(call: Call) -> Answer:
    shown = call.world.limit_of(call.token)
    return Answer(
        200, {"resources": {"core": shown, "search": shown, "graphql": shown}, "rate": shown}
    )


@serves("users/get-authenticated")
def _me(call: Call) -> Answer:
    actor = call.actor
    if call.token is not None and not call.token.is_user:
        raise Refusal(403, "Resource not accessible by integration")
    return Answer(200, shapes.full_user(actor, call.world, call.world.clock.now(), True))


@serves("users/get-by-username")
def _user(call: Call) -> Answer:
    found = call.world.find_account(call.path["username"])
    if found is None:
        raise not_found()
    return Answer(200, shapes.full_user(found, call.world, call.world.clock.now()))


@serves("users/get-by-id")
def _user_by_id(call: Call) -> Answer:
    for found in call.world.accounts.values():
        if str(found.id) == call.path["account_id"]:
            return Answer(200, shapes.full_user(found, call.world, call.world.clock.now()))
    raise not_found()


@serves("users/list-ssh-signing-keys-for-user")
def _signing_keys(call: Call) -> Answer:
    found = call.world.find_account(call.path["username"])
    if found is None:
        raise not_found()
    rows = [
        {"key": line, "id": number, "title": "a key", "created_at": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
        for number, (line, at) in enumerate(found.signing_keys, start=1)
    ]
    return call.page(rows, lambda row: row)


# -- organisations and teams -----------------------------------------------------------------


def _organisation(call: Call) -> Organisation:
    found = call.world.find_account(call.path["org"])
    if not isinstance(found, Organisation):
        raise not_found()
    return found


def sees_members(token: Token | None, org: Organisation) -> bool:
    """Whether a token may look into an organisation: else it reads as a non-member would."""
    if token is None:
        return False
    if token.is_user:
        return token.actor in org.members and token.allows("members", "read")
    installed = token.installation is not None and token.installation.account is org
    return installed and token.allows("members", "read")


def _inside(call: Call) -> Organisation:
    org = _organisation(call)
    if not sees_members(call.token, org):
        raise not_found()
    return org


def _team(call: Call) -> Team:
    found = _inside(call).teams.get(call.path["team_slug"])
    if found is None:
        raise not_found()
    return found


def _member(call: Call) -> Account:
    found = call.world.find_account(call.path["username"])
    if found is None:
        raise not_found()
    return found


@serves("orgs/get")
def _get_organisation(call: Call) -> Answer:
    return Answer(200, shapes.organisation(_organisation(call), call.world, call.world.clock.now()))


@serves("orgs/check-membership-for-user")
def _is_member(call: Call) -> Answer:
    if _member(call) not in _inside(call).members:
        raise not_found()
    return Answer(204)


@serves("orgs/get-membership-for-user")
def _membership(call: Call) -> Answer:
    org, who = _inside(call), _member(call)
    if who not in org.members:
        raise not_found()
    return Answer(200, _shown_membership(call, org, who))


def _shown_membership(call: Call, org: Organisation, who: Account) -> dict[str, object]:
    return {
        "url": f"{call.world.api_url}/orgs/{org.login}/memberships/{who.login}",
        "state": "active",
        "role": org.members[who],
        "organization_url": f"{call.world.api_url}/orgs/{org.login}",
        "organization": _simple(org, call),
        "user": shapes.account(who, call.world),
    }


def _simple(org: Organisation, call: Call) -> dict[str, object]:
    api = f"{call.world.api_url}/orgs/{org.login}"
    rest = ("events", "hooks", "issues", "members", "public_members", "repos")
    return {
        "login": org.login,
        "id": org.id,
        "node_id": shapes.node_id(org),
        "url": api,
        **{f"{name}_url": f"{api}/{name}" for name in rest},
        "avatar_url": f"{call.world.url}/avatar",
        "description": None,
    }


@serves("orgs/get-membership-for-authenticated-user")
def _my_membership(call: Call) -> Answer:
    org = _organisation(call)
    if call.token is None or not call.token.is_user or call.actor not in org.members:
        raise not_found()
    return Answer(200, _shown_membership(call, org, call.actor))


@serves("orgs/list-members")
def _members(call: Call) -> Answer:
    people = list(_inside(call).members)
    return call.page(people, lambda who: shapes.account(who, call.world))


@serves("teams/list")
def _teams(call: Call) -> Answer:
    found = list(_inside(call).teams.values())
    return call.page(found, lambda each: shapes.team(each, call.world))


@serves("teams/get-by-name")
def _get_team(call: Call) -> Answer:
    return Answer(200, shapes.team(_team(call), call.world, full=True))


@serves("teams/list-members-in-org")
def _team_members(call: Call) -> Answer:
    people = list(_team(call).members)
    return call.page(people, lambda who: shapes.account(who, call.world))


@serves("teams/get-membership-for-user-in-org")
def _team_membership(call: Call) -> Answer:
    team, who = _team(call), _member(call)
    if who not in team.members:
        raise not_found()
    url = f"{call.url}"
    return Answer(200, {"url": url, "role": team.members[who], "state": "active"})


@serves("teams/check-permissions-for-repo-in-org")
def _team_repo(call: Call) -> Answer:
    team = _team(call)
    if team not in call.repo.teams:
        raise not_found()
    return Answer(204)


# -- Apps ------------------------------------------------------------------------------------


def _app(call: Call) -> App:
    assert call.token is not None
    assert call.token.app is not None
    return call.token.app


def _installation(call: Call) -> Installation:
    for each in _app(call).installations:
        if str(each.id) == call.path["installation_id"]:
            return each
    raise not_found()


@serves("apps/get-authenticated", by_app=True)
def _get_app(call: Call) -> Answer:
    return Answer(200, shapes.app(_app(call)))


@serves("apps/get-by-slug")
def _app_by_slug(call: Call) -> Answer:
    if call.path["app_slug"] not in call.world.apps:
        raise not_found()
    return Answer(200, shapes.app(call.world.apps[call.path["app_slug"]]))


@serves("apps/list-installations", by_app=True)
def _installations(call: Call) -> Answer:
    return call.page(_app(call).installations, shapes.installation)


@serves("orgs/list-app-installations")
def _installed(call: Call) -> Answer:
    """An owner of the organisation is shown them, with a token that administers it."""
    org, token = _organisation(call), call.token
    owner = token is not None and token.is_user and org.members.get(token.actor) == "admin"
    if not owner or token is None or not token.allows("organization_administration", "read"):
        raise not_found()
    found = [
        each
        for app in call.world.apps.values()
        for each in app.installations
        if each.account is org
    ]
    return call.page(found, shapes.installation, "installations")


@serves("apps/get-installation", by_app=True)
def _get_installation(call: Call) -> Answer:
    return Answer(200, shapes.installation(_installation(call)))


@serves("apps/get-repo-installation", by_app=True)
def _repo_installation(call: Call) -> Answer:
    return _where(call, lambda each: each.reaches(call.repo))


@serves("apps/get-org-installation", by_app=True)
def _org_installation(call: Call) -> Answer:
    return _where(call, lambda each: each.account.login.lower() == call.path["org"].lower())


@serves("apps/get-user-installation", by_app=True)
def _user_installation(call: Call) -> Answer:
    return _where(call, lambda each: each.account.login.lower() == call.path["username"].lower())


def _where(call: Call, holds: object) -> Answer:
    for each in _app(call).installations:
        if holds(each):  # type: ignore[operator]
            return Answer(200, shapes.installation(each))
    raise not_found()


@serves("apps/create-from-manifest")
def _convert(call: Call) -> Answer:
    """The code is good once. Nobody but who has it is shown the App's key."""
    app = call.world.manifest_codes.pop(call.path["code"], None)
    if app is None:
        raise not_found()
    secret = {"client_secret": "3f" * 20, "webhook_secret": None, "pem": app.key}
    return Answer(201, {**shapes.app(app), **secret})


@serves("apps/create-installation-access-token", by_app=True)
def _mint(call: Call) -> Answer:
    found = _installation(call)
    if found.suspended:
        raise Refusal(403, "This installation has been suspended")
    asked = call.data.get("permissions")
    order = ("none", "read", "write", "admin")
    for name, level in (asked or {}).items():
        if order.index(level) > order.index(found.permissions.get(name, "none")):
            raise Refusal(
                422,
                "The permissions requested are not granted to this installation.",
            )
    names = call.data.get("repositories")
    chosen = None
    if names is not None:
        repos = [call.world.find_repository(f"{found.account.login}/{name}") for name in names]
        if any(repo is None or not found.reaches(repo) for repo in repos):
            raise Refusal(
                422,
                "There is at least one repository that does not exist or is not accessible to the"
                " parent installation.",
            )
        chosen = [repo for repo in repos if repo is not None]
    wanted = {"metadata": "read", **asked} if asked else None
    return Answer(
        201, shapes.installation_token(call.world.installation_token(found, wanted, chosen))
    )


@serves("apps/revoke-installation-access-token")
def _revoke(call: Call) -> Answer:
    assert call.token is not None
    call.token.revoke()
    return Answer(204)


@serves("apps/list-repos-accessible-to-installation")
def _reachable(call: Call) -> Answer:
    if call.token is None or call.token.installation is None:
        raise Refusal(403, "Resource not accessible by personal access token")
    token = call.token
    found = [repo for repo in call.world.repositories.values() if token.reaches(repo)]
    return call.page(found, lambda r: shapes.repository(r, schema="repository"), "repositories")
