"""What each operation is given, what it answers, and which permission it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from tests.github.accounts import ROLES, Account, Kind, Refusal, Token, not_found
from tests.github.conversation import Issue
from tests.github.pulls import PullRequest
from tests.github.repository import Repository

if TYPE_CHECKING:
    from tests.github.world import World

T = TypeVar("T")
#: A permission and the level of it that an operation takes; any one of several is enough.
Need = tuple[str, str]
#: What anybody may read of a public repository.
_PUBLIC = {"metadata", "contents", "issues", "pull_requests", "actions", "statuses", "checks"}


@dataclass
class Answer:
    """A status, a JSON body (None: none), further headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """One REST request, its path already taken apart."""

    world: World
    token: Token | None
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    url: str

    @property
    def actor(self) -> Account:
        """Who asks. Raises the 401 of somebody unknown."""
        if self.token is None:
            raise Refusal(401, "Requires authentication")
        return self.token.actor

    @property
    def data(self) -> dict[str, Any]:
        return self.body if isinstance(self.body, dict) else {}

    @property
    def repo(self) -> Repository:
        """The repository of the path; 404 also where it may not be seen."""
        found = self.world.find_repository(f"{self.path['owner']}/{self.path['repo']}")
        if found is None or not visible(self.token, found):
            raise not_found()
        return found

    @property
    def issue(self) -> Issue:
        return self.repo.issue(int(self.path["issue_number"]))

    @property
    def pull(self) -> PullRequest:
        return self.repo.pull(int(self.path["pull_number"]))

    def page(self, items: Sequence[T], show: Callable[[T], Any], wrap: str | None = None) -> Answer:
        """One page of a list, with a Link header where there are more."""
        size = min(max(int(self.query.get("per_page", 30)), 1), 100)
        page = max(int(self.query.get("page", 1)), 1)
        last = max(-(-len(items) // size), 1)
        shown: Any = [show(each) for each in items[(page - 1) * size : page * size]]
        if wrap is not None:
            shown = {"total_count": len(items), wrap: shown}
        links = {}
        if page < last:
            links |= {"next": page + 1, "last": last}
        if page > 1:
            links |= {"first": 1, "prev": min(page - 1, last)}
        rows = (
            f'<{self.url}?{urlencode({**self.query, "page": number})}>; rel="{name}"'
            for name, number in links.items()
        )
        return Answer(200, shown, {"Link": ", ".join(rows)} if links else {})


@dataclass(frozen=True)
class Operation:
    """How an operation is served, and what it takes."""

    serve: Callable[[Call], Answer]
    needs: tuple[Need, ...]
    role: str | None
    #: An App proves itself with a JWT there, and nobody else may ask.
    by_app: bool


OPERATIONS: dict[str, Operation] = {}
Handler = Callable[[Call], Answer]


def serves(
    operation: str, *needs: Need, role: str | None = None, by_app: bool = False
) -> Callable[[Handler], Handler]:
    """Register the handler of an operation.

    `needs` is what the token's permissions must reach, `role` what its user must have on the
    repository: by default read to read, and write to write.
    """

    def register(handler: Handler) -> Handler:
        OPERATIONS[operation] = Operation(handler, needs, role, by_app)
        return handler

    return register


def perform(operation: str, call: Call) -> Answer:
    """Check that the token may, then serve. Raises `Refusal`."""
    found = OPERATIONS[operation]
    is_app = call.token is not None and call.token.kind is Kind.APP
    if found.by_app and not is_app:
        raise Refusal(401, "A JSON web token could not be decoded")
    if is_app and not found.by_app:
        raise Refusal(403, "Resource not accessible by integration")
    if found.needs and "repo" in call.path:
        require(call.token, call.repo, found.needs, found.role)
    return found.serve(call)


def visible(token: Token | None, repo: Repository) -> bool:
    if not repo.private or (token is not None and token.kind is Kind.APP):
        return True
    if token is None or not token.reaches(repo):
        return False
    return not token.is_user or repo.role(token.actor) != "none"


def require(
    token: Token | None, repo: Repository, needs: Sequence[Need], role: str | None = None
) -> None:
    """Raises 401, 403 or 404, in GitHub's words, unless the token may do one of `needs`."""
    reading = all(level == "read" for _, level in needs)
    public = reading and not repo.private and any(name in _PUBLIC for name, _ in needs)
    if token is None:
        if public:
            return
        raise Refusal(401, "Requires authentication")
    if not visible(token, repo):
        raise not_found()
    reached = token.reaches(repo) and any(token.allows(*need) for need in needs)
    if not reached and not public:
        raise Refusal(403, token.blocked)
    if repo.archived and not reading:
        raise Refusal(403, "Repository was archived so is read-only.")
    if token.is_user:
        _require_role(token.actor, repo, role or ("read" if reading else "write"))


def _require_role(actor: Account, repo: Repository, role: str) -> None:
    if ROLES.index(repo.role(actor)) < ROLES.index(role):
        raise Refusal(403, f"Must have {role} rights to Repository.")


def may_edit(token: Token, author: Account, repo: Repository, role: str = "write") -> None:
    """Its author may change a thing, and who has the role; an App with the permission, too."""
    if token.is_user and token.actor is not author:
        _require_role(token.actor, repo, role)
