"""A GitHub for tests: stateful, on 127.0.0.1, true to GitHub's own description.

    with GitHub() as github:
        repo = github.repository("acme/models")          # `acme` becomes an organisation
        ann = github.user("ann")
        repo.grant(ann, "write")                         # also a team; role_name= for a custom role
        app = github.app("bridge-opener", {"contents": "write", "pull_requests": "write"})
        installation = app.install(repo.owner)

        repo.commit("gate/one", {"request.md": "please"})
        pull = repo.open_pull_request(app.bot, "gate/one", base="main", title="Deploy?")
        pull.review(ann, "APPROVED", body="fine")        # CHANGES_REQUESTED, COMMENTED
        pull.comment(ann, "/approve target=staging").edit("/approve target=prod")
        github.tick()                                    # what pushes merged is now shown as merged

    leaving: stops the server, and raises where anything broke GitHub's description.

**Story and server.** The methods above act as the person they are given and ask no token. What
comes over HTTP is held to its token: `github.token(ann)` (classic), `github.token(ann, {"issues":
"write"})` (fine-grained), `github.actions_token(repo, {...})` (GITHUB_TOKEN),
`github.installation_token(installation)` or, over HTTP, a JWT signed with `app.key`.
`str(token)` is the secret; `token.revoke()`; `github.secrets` lists every secret given out.

**Addresses.** `github.url`, `.api_url`, `.graphql_url`, `repo.clone_url`,
`repo.clone_url_for(token)`, `github.environment(repo, token)`; `GitHub(enterprise=False)` serves
REST at the root, as github.com's API host does. PyGithub pauses between its requests unless
`seconds_between_requests=None, seconds_between_writes=None`.

**Time.** `github.clock.set(moment)` stops it, `.advance(minutes=61)` moves it. A merge that was
pushed is noticed at `github.tick()`, or at once with `GitHub(merges_at_once=True)`.

**Runs of Actions.** `run = repo.run(".github/workflows/deploy.yml", ann)` is in the Actions API,
and `run.again(bob)` a further attempt of it. `github.issuer.job(run)` is what a job with
`id-token: write` finds in its environment to ask for its token with; `github.issuer.token(run,
audience)` is such a token.

**Asserting.** `github.counts` (rest, graphql, git, mint, oidc), `github.requests`,
`forget_requests()`;
`github.events`, `events_of("pull_request_review", "submitted")`, each with its checked payload
and `starts_workflows`; `repo.dispatches`, `repo.repository_dispatches`; the nouns themselves
(`pull.merged`, `comment.reacted`, `pull.timeline`, `repo.file(path, ref)`); `github.problems`,
`github.check()`.

**Going wrong.** `github.faults.answer(502, nth=3)`, `.cut(after=True)`, `.truncate()`,
`.malformed()`, `.hold()` (slow), `.run(action)`, `.secondary_limit()`, `.primary_limit(reset)`;
narrowed by `kind`, `method`, `path` (a glob on the whole path), `containing`, `nth`, `times`.
`github.rate_limit` and `github.content_limit` lower the limits for all.

**Many.** `repo.many_pull_requests(author, {branch: {path: content}})`; `github.quietly()` for no
events.

What the server lacks is no 404: it answers 501 and fails the test. To serve one more operation,
write its handler in `rest/` (or a field in `graphql.py`, an event in `events.py`) and run
`trim.py`.
"""

from tests.github.server import GitHub

__all__ = ["GitHub"]
