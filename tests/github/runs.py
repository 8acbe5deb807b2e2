"""Runs of Actions, and the tokens by which a job proves which run it is of (OpenID Connect)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.github.accounts import Account

if TYPE_CHECKING:
    from tests.github.repository import Repository
    from tests.github.world import World

#: Where Enterprise Server has its issuer, and where a job asks for its token.
ISSUER, REQUESTED_AT = "/_services/token", "/_services/pipelines/idtoken"
#: Tokens live five minutes, as those of github.com do.
_LIFE = timedelta(minutes=5)


@cache
def _pair(name: str) -> rsa.RSAPrivateKey:
    """A key takes a while to make, so that all servers of a test process share them."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(eq=False)
class Attempt:
    """One attempt of a run: who started it, and when."""

    number: int
    by: Account
    at: datetime


@dataclass(eq=False)
class Run:
    """A run of a workflow file. `ref` is its file's too; a pull request has another head."""

    id: int
    repository: Repository = field(repr=False)
    path: str
    ref: str
    sha: str
    event: str
    actor: Account
    attempts: list[Attempt]
    head_branch: str
    head_sha: str
    status: str = "in_progress"
    conclusion: str = "success"  # once it is completed
    title: str = "A change"
    #: What the repository was called, if the file is another repository's.
    workflow_repository: str | None = None

    def again(self, by: Account) -> Attempt:
        """Somebody runs it again."""
        now = self.repository.world.clock.now()
        self.attempts.append(Attempt(len(self.attempts) + 1, by, now))
        return self.attempts[-1]

    @property
    def workflow_ref(self) -> str:
        return f"{self.workflow_repository or self.repository.full_name}/{self.path}@{self.ref}"


class Issuer:
    """Signs what is true of a run; `rotate` makes new keys, and forgets the old ones."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._name = "one"
        #: What a job's request for a token is answered by: the secret names run, attempt, job.
        self._jobs: dict[str, tuple[Run, int, str | None]] = {}

    @property
    def url(self) -> str:
        return f"{self._world.url}{ISSUER}"

    @property
    def key(self) -> rsa.RSAPrivateKey:
        return _pair(self._name)

    def rotate(self) -> None:
        self._name += "+"

    def key_set(self) -> dict[str, Any]:
        shown = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**shown, "kid": self._name, "use": "sig", "alg": "RS256"}]}

    def configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/.well-known/jwks",
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        }

    def job(
        self, run: Run, environment: str | None = None, attempt: int | None = None
    ) -> dict[str, str]:
        """What a job with `id-token: write` finds in its environment."""
        secret = secrets.token_hex(18)
        self._jobs[secret] = (run, attempt or run.attempts[-1].number, environment)
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self._world.url}{REQUESTED_AT}?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": secret,
        }

    @property
    def secrets(self) -> list[str]:
        return list(self._jobs)

    def requested(self, secret: str | None, query: Mapping[str, str]) -> dict[str, Any] | None:
        """The answer to a job; None if the credential is not a job's."""
        if secret not in self._jobs or query.get("api-version") is None:
            return None
        run, attempt, environment = self._jobs[secret]
        owner = f"{self._world.url}/{run.repository.owner.login}"
        token = self.token(run, query.get("audience", owner), environment, attempt)
        return {"count": len(token), "value": token}

    def token(
        self,
        run: Run,
        audience: str,
        environment: str | None = None,
        attempt: int | None = None,
        **changes: Any,
    ) -> str:
        """`changes` are claims that GitHub would not make."""
        claims = self.claims(run, audience, environment, attempt) | changes
        return self.signed(claims)

    def signed(self, claims: Mapping[str, Any], **header: Any) -> str:
        header = {"kid": self._name, "x5t": "x", **header}
        return jwt.encode(dict(claims), self.key, algorithm="RS256", headers=header)

    def claims(
        self,
        run: Run,
        audience: str,
        environment: str | None = None,
        attempt: int | None = None,
    ) -> dict[str, Any]:
        """As GitHub's documentation lists them: all numbers but times are text."""
        repo, world = run.repository, run.repository.world
        now = world.clock.now()
        of_pull = run.event.startswith("pull_request")
        about = "pull_request" if of_pull else f"ref:{run.ref}"
        about = f"environment:{environment}" if environment else about
        times = {"iat": now, "nbf": now - timedelta(minutes=10), "exp": now + _LIFE}
        return {
            "jti": secrets.token_hex(8),
            "iss": self.url,
            "aud": audience,
            "sub": f"repo:{repo.full_name}:{about}",
            **{name: int(at.timestamp()) for name, at in times.items()},
            "actor": run.actor.login,
            "actor_id": str(run.actor.id),
            "base_ref": repo.default_branch if of_pull else "",
            "head_ref": run.head_branch if of_pull else "",
            "event_name": run.event,
            "job_workflow_ref": run.workflow_ref,
            "job_workflow_sha": run.sha,
            "ref": run.ref,
            "ref_type": "tag" if run.ref.startswith("refs/tags/") else "branch",
            "repository": repo.full_name,
            "repository_id": str(repo.id),
            "repository_owner": repo.owner.login,
            "repository_owner_id": str(repo.owner.id),
            "repository_visibility": "private" if repo.private else "public",
            "run_id": str(run.id),
            "run_number": "1",
            "run_attempt": str(attempt or run.attempts[-1].number),
            "runner_environment": "github-hosted",
            "sha": run.sha,
            "workflow": run.path.rsplit("/", 1)[-1],
            "workflow_ref": run.workflow_ref,
            "workflow_sha": run.sha,
            **({"environment": environment} if environment else {}),
        }
