"""The git database: refs, blobs, trees, commits."""

from __future__ import annotations

import base64
from typing import Any

from tests.github.accounts import Refusal, not_found
from tests.github.gitserver import NOTHING, GitFailed
from tests.github.pulls import signature
from tests.github.repository import Repository
from tests.github.rest.repos import commit as whole
from tests.github.rest.repos import named
from tests.github.rest.route import Answer, Call, serves

_READ, _WRITE = ("contents", "read"), ("contents", "write")


def _api(repo: Repository) -> str:
    return f"{repo.world.api_url}/repos/{repo.full_name}"


def _ref(repo: Repository, ref: str, sha: str) -> dict[str, Any]:
    kind = repo.bare.kind(sha)
    return {
        "ref": ref,
        "node_id": f"REF_{repo.id}_{ref}",
        "url": f"{_api(repo)}/git/{ref}",
        "object": {"sha": sha, "type": kind, "url": f"{_api(repo)}/git/{kind}s/{sha}"},
    }


@serves("git/get-ref", _READ)
def _get_ref(call: Call) -> Answer:
    ref = f"refs/{call.path['ref']}"
    sha = call.repo.bare.sha(ref)
    if sha is None:
        raise not_found()
    return Answer(200, _ref(call.repo, ref, sha))


@serves("git/list-matching-refs", _READ)
def _matching(call: Call) -> Answer:
    start = f"refs/{call.path['ref']}"
    found = [(ref, sha) for ref, sha in call.repo.bare.refs().items() if ref.startswith(start)]
    return call.page(found, lambda row: _ref(call.repo, *row))


@serves("git/create-ref", _WRITE)
def _create_ref(call: Call) -> Answer:
    ref, sha = call.data["ref"], call.data["sha"]
    if not ref.startswith("refs/") or ref.count("/") < 2:
        raise Refusal(422, "Reference name must start with 'refs/'.")
    if call.repo.bare.kind(sha) is None:
        raise Refusal(422, "Object does not exist")
    if call.repo.bare.sha(ref) is not None:
        raise Refusal(422, "Reference already exists")
    _move(call, ref, NOTHING, sha)
    return Answer(201, _ref(call.repo, ref, sha))


@serves("git/update-ref", _WRITE)
def _update_ref(call: Call) -> Answer:
    ref, sha = f"refs/{call.path['ref']}", call.data["sha"]
    old = call.repo.bare.sha(ref)
    if old is None:
        raise Refusal(422, "Reference does not exist")
    if call.repo.bare.kind(sha) is None:
        raise Refusal(422, "Object does not exist")
    if not call.data.get("force") and not call.repo.bare.contains(sha, old):
        raise Refusal(422, "Update is not a fast forward")
    _move(call, ref, old, sha)
    return Answer(200, _ref(call.repo, ref, sha))


@serves("git/delete-ref", _WRITE)
def _delete_ref(call: Call) -> Answer:
    ref = f"refs/{call.path['ref']}"
    old = call.repo.bare.sha(ref)
    if old is None:
        raise Refusal(422, "Reference does not exist")
    _move(call, ref, old, NOTHING)
    return Answer(204)


def _move(call: Call, ref: str, old: str, new: str) -> None:
    repo = call.repo
    if ref.startswith("refs/pull/"):
        raise Refusal(422, "Reference cannot be updated")
    repo.check_rules([(ref, old, new)])
    try:
        if new == NOTHING:
            repo.bare.delete_ref(ref)
        else:
            repo.bare.set_ref(ref, new, old)
    except GitFailed as error:  # `gate` and `gate/x` cannot both be
        raise Refusal(422, f"Reference update failed: {error}") from None
    repo.noticed(call.actor)


@serves("git/get-blob", _READ)
def _get_blob(call: Call) -> Answer:
    repo, sha = call.repo, call.path["file_sha"]
    if repo.bare.kind(sha) != "blob":
        raise not_found()
    content = repo.bare.read(sha)
    shown = {
        "sha": sha,
        "node_id": f"B_{sha}",
        "size": len(content),
        "url": f"{_api(repo)}/git/blobs/{sha}",
        "content": base64.encodebytes(content).decode(),
        "encoding": "base64",
    }
    return Answer(200, shown)


@serves("git/create-blob", _WRITE)
def _create_blob(call: Call) -> Answer:
    content = call.data["content"].encode()
    if call.data.get("encoding") == "base64":
        content = base64.b64decode(content)
    [sha] = call.repo.bare.store([content])
    return Answer(201, {"sha": sha, "url": f"{_api(call.repo)}/git/blobs/{sha}"})


@serves("git/get-tree", _READ)
def _get_tree(call: Call) -> Answer:
    sha = call.repo.bare.sha(f"{call.path['tree_sha']}^{{tree}}")
    if sha is None:
        raise not_found()
    return Answer(200, _tree(call.repo, sha, "recursive" in call.query))


def _tree(repo: Repository, sha: str, recursive: bool = False) -> dict[str, Any]:
    flags = ["-r", "-t"] if recursive else []
    rows = []
    for line in repo.bare.run("ls-tree", "-l", *flags, sha).splitlines():
        about, _, path = line.partition("\t")
        mode, kind, inner, size = about.split()
        row = {"path": path, "mode": mode, "type": kind, "sha": inner}
        row["url"] = f"{_api(repo)}/git/{kind}s/{inner}"
        rows.append(row if size == "-" else {**row, "size": int(size)})
    return {"sha": sha, "url": f"{_api(repo)}/git/trees/{sha}", "tree": rows, "truncated": False}


@serves("git/create-tree", _WRITE)
def _create_tree(call: Call) -> Answer:
    bare = call.repo.bare
    index = {"GIT_INDEX_FILE": str(bare.path / f"index-{call.world.number()}")}
    if "base_tree" in call.data:
        bare.run("read-tree", call.data["base_tree"], env=index)
    else:
        bare.run("read-tree", "--empty", env=index)
    lines = []
    written = iter(bare.store([row["content"] for row in call.data["tree"] if "content" in row]))
    for row in call.data["tree"]:
        sha = next(written) if "content" in row else row.get("sha")
        if sha is not None and bare.kind(sha) is None:
            raise Refusal(422, f"tree.sha {sha} is not a valid {row.get('type', 'blob')}")
        lines.append(f"{row['mode'] if sha else '0'} {sha or NOTHING}\t{row['path']}\n")
    bare.run("update-index", "--index-info", stdin="".join(lines), env=index)
    sha = bare.run("write-tree", env=index)
    return Answer(201, _tree(call.repo, sha))


def commit(repo: Repository, sha: str) -> dict[str, Any]:
    """A commit as the git database gives it."""
    shown = whole(repo, sha)
    inner = shown["commit"]
    return {
        "sha": sha,
        "node_id": shown["node_id"],
        "url": inner["url"],
        "html_url": shown["html_url"],
        "author": inner["author"],
        "committer": inner["committer"],
        "message": inner["message"],
        "tree": inner["tree"],
        "parents": [{**each, "html_url": shown["html_url"]} for each in shown["parents"]],
        "verification": {
            "verified": False,
            "reason": "unsigned",
            "signature": None,
            "payload": None,
            "verified_at": None,
        },
    }


@serves("git/get-commit", _READ)
def _get_commit(call: Call) -> Answer:
    sha = call.path["commit_sha"]
    if call.repo.bare.kind(sha) != "commit":
        raise not_found()
    return Answer(200, commit(call.repo, sha))


@serves("git/create-commit", _WRITE)
def _create_commit(call: Call) -> Answer:
    bare = call.repo.bare
    if bare.kind(call.data["tree"]) != "tree":
        raise Refusal(422, "Tree SHA does not exist")
    parents = [named(call.repo, each) for each in call.data.get("parents", [])]
    given = call.data.get("author")
    author = f"{given['name']} <{given['email']}>" if given else signature(call.actor)
    at = call.world.clock.now()
    sha = bare.write_commit(call.data["tree"], parents, call.data["message"], at, author)
    return Answer(201, commit(call.repo, sha))
