"""What a policy says: rules over people, deadlines and bars."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class OnTimeout(StrEnum):
    """What the clock does when the deadline passes."""

    REJECT = "reject"
    APPROVE = "approve"
    NOTIFY = "notify"


class RequestChanges(StrEnum):
    """What a review that requests changes does."""

    HOLD = "hold"
    REJECT = "reject"


class DismissedReviews(StrEnum):
    """Whose dismissal takes an approval away: of anyone the forge lets, or of deciders alone."""

    ANYONE = "anyone"
    DECIDERS = "deciders"


class Initiator(StrEnum):
    """What must be known of the account that started the run before an approval counts.

    Nothing else keeps that person from approving.
    """

    PROVEN = "proven"
    CLAIMED = "claimed"  # it is enough that the run names it
    UNKNOWN = "unknown"


class Facts(StrEnum):
    """What a decision without a person may rest on: the clock's approval and a condition."""

    PROVEN = "proven"
    CLAIMED = "claimed"  # what the request says of itself is enough


class Via(StrEnum):
    """Where a gate is shown."""

    PULL_REQUEST = "pull_request"
    ISSUE = "issue"


class GroupKind(StrEnum):
    TEAM = "team"
    ORGANIZATION = "organization"
    PERMISSION = "permission"  # on the repository: this one or a higher one
    ROLE = "role"  # on the repository: exactly this one, by its own name


@dataclass(frozen=True, slots=True)
class Group:
    """People that the forge knows to be in it: `team acme/ml`, `permission maintain`."""

    kind: GroupKind
    name: str

    def __str__(self) -> str:
        match self.kind:
            case GroupKind.TEAM:
                return f"team {self.name}"
            case GroupKind.ORGANIZATION:
                return f"members of {self.name}"
            case GroupKind.PERMISSION:
                higher = "" if self.name == "admin" else " or higher"
                return f"people with {self.name} permission{higher}"
            case GroupKind.ROLE:
                return f"people with the role {self.name}"


@dataclass(frozen=True, slots=True)
class Actors:
    """Who may vote.

    `names` are people (name, e-mail or login) or teams, as this machine knows them. `users` are
    accounts on a forge: `ann`, or `ann#583231` if the number must be hers too. `groups` are
    the forge's to answer for.
    """

    names: tuple[str, ...] = ()
    anyone: bool = False
    users: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()

    @property
    def nobody(self) -> bool:
        return not (self.anyone or self.names or self.users or self.groups)

    def __str__(self) -> str:
        if self.anyone:
            return "anyone"
        accounts = (user.partition("#")[0] for user in self.users)
        return " or ".join([*self.names, *accounts, *map(str, self.groups)])


@dataclass(frozen=True, slots=True)
class Approvals:
    """So many different people out of these."""

    by: Actors
    count: int = field(default=1, metadata={"key": "approvals", "always": True})


@dataclass(frozen=True, slots=True)
class EachOf:
    """One person from each of these, and nobody stands for two."""

    of: tuple[Actors, ...] = field(metadata={"key": "each"})


@dataclass(frozen=True, slots=True)
class AllOf:
    rules: tuple[Rule, ...] = field(metadata={"key": "all"})


@dataclass(frozen=True, slots=True)
class AnyOf:
    rules: tuple[Rule, ...] = field(metadata={"key": "any"})


Rule = Approvals | EachOf | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Bars:
    """Who is barred from a gate on a forge, whatever group they are in. Bots always are.

    Here on one machine nobody is: who started a run and who decides are unproven both. `users` as
    in `Actors`.
    """

    initiator: bool = True
    author: bool = True
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """What it takes to decide a gate. `timeout` is in seconds; None waits for ever.

    `only`: the people that the flow names. Nobody else's approval counts. `disapprove`: people who
    can object besides all who may approve. `initiator`: the account of the user that the run names
    as its initiator, if the policy's identities map them to one.
    `chosen_by` are the facts by which the policy file chose this policy, if it may decide without a
    person; `facts` says what these must be worth.
    """

    require: Rule
    timeout: int | None = None
    on_timeout: OnTimeout = field(default=OnTimeout.REJECT, metadata={"always": True})
    auto_approve_if: str | None = None  # the condition, in words; None: no condition may approve
    bars: Bars = Bars()
    only: Actors | None = None
    disapprove: Actors | None = None
    request_changes: RequestChanges = RequestChanges.HOLD
    dismissed_reviews: DismissedReviews = DismissedReviews.ANYONE
    initiator_is: Initiator = Initiator.CLAIMED
    signed: bool = False  # an approval counts only if its author signed it
    facts: Facts = Facts.PROVEN
    chosen_by: tuple[str, ...] = ()
    initiator: str | None = None
    via: Via = Via.PULL_REQUEST
    checks: tuple[str, ...] = ()  # what must be green on the commit under approval


@dataclass(frozen=True, slots=True)
class Selected:
    """What a policy file says of one gate. `rule` is the name of the gate's entry there."""

    rule: str
    policy: Policy
    via: Via = Via.PULL_REQUEST
    auto_approve_if: tuple[str, ...] = ()  # the conditions among which a flow may choose
