"""Real bare repositories, and git's own smart HTTP in front of them."""

from __future__ import annotations

import os
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from tests import git_objects as objects
from tests.git_objects import NOTHING, SHA
from tests.github import packs
from tests.github.history import History, TakesGit
from tests.github.receive import PACK, packet, packets, received
from tests.smart_http import answer, result

#: Run by git for each push with the objects still in quarantine, and by the REST calls that move a
#: ref. `GH_RULES` has one line a rule that binds this actor: ref, a tab, the rule's name.
_HOOK = r"""#!/bin/sh
zero=0000000000000000000000000000000000000000
tab=$(printf '\t')
nl='
'
bad=
said() { echo "error: GH013: Repository rule violations found for $1." >&2; echo "- $2" >&2; bad=1; }
ruled() { case "$nl$GH_RULES$nl" in *"$nl$1$tab$2$nl"*) ;; *) false ;; esac; }
while read -r old new ref; do
  if [ -n "$GH_NO_WORKFLOWS" ] && [ "$new" != "$zero" ]; then
    file=$(git log --format= --name-only "$new" --not --all -- .github/workflows | head -n 1)
    if [ -n "$file" ]; then
      echo "refusing to allow $GH_NO_WORKFLOWS to create or update workflow \`$file\` without \`workflows\` permission" >&2
      bad=1
    fi
  fi
  [ -n "$GH_RULES" ] || continue
  if [ "$old" = "$zero" ]; then
    ruled "$ref" creation && said "$ref" "Cannot create ref due to creations being restricted."
  elif [ "$new" = "$zero" ]; then
    ruled "$ref" deletion && said "$ref" "Cannot delete this branch"
  else
    ruled "$ref" update && said "$ref" "Cannot update this protected ref."
    if ruled "$ref" non_fast_forward && ! git merge-base --is-ancestor "$old" "$new"; then
      said "$ref" "Cannot force-push to this branch"
    fi
  fi
  [ "$new" != "$zero" ] || continue
  ruled "$ref" pull_request && said "$ref" "Changes must be made through a pull request."
  if ruled "$ref" required_linear_history && [ -n "$(git rev-list --merges -n 1 "$new" --not --all)" ]; then
    said "$ref" "This branch must not contain merge commits."
  fi
  if ruled "$ref" required_signatures; then
    for commit in $(git rev-list "$new" --not --all); do
      git cat-file commit "$commit" | sed '/^$/q' | grep -q '^gpgsig' || { said "$ref" "Commits must have verified signatures."; break; }
    done
  fi
done
[ -z "$bad" ]
"""  # noqa: E501 (a shell line is a shell line)

#: What GitHub answers where plain git would only say that a hook declined.
_DECLINED = b"push declined due to repository rule violations"


class GitFailed(Exception):
    """A git command on a bare repository said no; the message is what it said."""


class Bare:
    """One bare repository on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # What git says of an object is true for good: no test removes one.
        self._kinds: dict[str, str] = {}
        self._blobs: dict[str, bytes] = {}
        self._at: dict[tuple[str, str], str] = {}  # (commit, path)
        self._contains: dict[tuple[str, str], bool] = {}  # (tip, commit)
        self._said: dict[tuple[str, str], str] = {}  # (commit, format)
        self._objects = objects.Objects(path, environment({}))
        self._history = History(self._objects.loose)
        if not path.exists():
            objects.make(path, _CONFIG)
            (path / "hooks").mkdir()
            hook = path / "hooks" / "pre-receive"
            hook.write_text(_HOOK)
            hook.chmod(0o755)

    def run(self, *args: str, stdin: str | bytes = "", env: Mapping[str, str] | None = None) -> str:
        """The command's output, its last newline dropped. Raises `GitFailed`."""
        return self._git(["--git-dir", str(self.path), *args], stdin, env).rstrip("\n")

    def read(self, sha: str) -> bytes:
        if sha not in self._blobs:
            found = self._objects.find(sha)
            if found is None or found.kind != "blob":
                raise GitFailed(f"{sha} is no blob")
            self._blobs[sha] = found.content
        return self._blobs[sha]

    def store(self, contents: Sequence[str | bytes]) -> list[str]:
        """The blobs of these contents, in their order."""
        return [self._objects.write("blob", _bytes(content)) for content in contents]

    def close(self) -> None:
        self._objects.close()

    def _git(
        self, args: Sequence[str], stdin: str | bytes = "", env: Mapping[str, str] | None = None
    ) -> str:
        feed = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            ["git", *args], input=feed, capture_output=True, env=environment(env or {})
        )
        if done.returncode:
            raise GitFailed(done.stderr.decode("utf-8", "replace").strip())
        return done.stdout.decode("utf-8", "replace")

    # -- refs --------------------------------------------------------------------------------

    def refs(self, prefix: str = "refs/") -> dict[str, str]:
        return objects.refs(self.path, prefix)

    def sha(self, name: str) -> str | None:
        """The object that a full ref name or an expression names."""
        if SHA.fullmatch(name):
            return name  # as `git rev-parse` does, whether or not there is such an object
        if name.startswith("HEAD:"):
            return self._in_tree(self._tip("HEAD"), name.removeprefix("HEAD:"))
        return self._tip(name) if name.startswith("refs/") else self._parsed(name)

    def _tip(self, ref: str) -> str | None:
        """What a ref points at, which is a file of its own unless git packed it."""
        try:
            said = (self.path / ref).read_text().strip()
        except OSError:
            return self._parsed(ref)
        if said.startswith("ref: "):
            return self._tip(said.removeprefix("ref: "))
        return said if SHA.fullmatch(said) else self._parsed(ref)

    def _in_tree(self, commit: str | None, path: str) -> str | None:
        if commit is None:
            return None
        known = self._at.get((commit, path))
        found = known or self._looked_up(commit, path)
        if found:
            self._at[commit, path] = found
        return found

    def _looked_up(self, commit: str, path: str) -> str | None:
        try:
            tree: str | None = self._history.commit(commit).tree
            for name in path.split("/"):
                tree = self._objects.entries(tree)[name][1] if tree else None
        except KeyError:
            return None
        except (TakesGit, LookupError):
            return self._parsed(f"{commit}:{path}")
        return tree

    def _parsed(self, name: str) -> str | None:
        found = self._found(name)
        return found.sha if found else None

    def _found(self, name: str) -> objects.Thing | None:
        if not name.strip() or "\n" in name:
            return None
        found = self._objects.find(name)
        if found:
            self._kinds[found.sha] = found.kind
        return found

    def kind(self, name: str) -> str | None:
        known = self._kinds.get(name)
        if known:
            return known
        found = self._found(name)
        return found.kind if found else None

    def set_ref(self, ref: str, new: str, old: str | None = None) -> None:
        """Raises `GitFailed` where `old` is given and no longer its value."""
        found = self._objects.loose(new) if old is None else None
        if found and found.kind == "commit" and self._moves(ref, new):
            return
        self.run("update-ref", ref, new, *([old] if old is not None else []))

    def set_refs(self, refs: Mapping[str, str]) -> None:
        lines = "".join(f"update {ref} {sha}\n" for ref, sha in refs.items())
        self.run("update-ref", "--stdin", stdin=lines)

    def delete_ref(self, ref: str) -> None:
        if not self._moves(ref, NOTHING):
            self.run("update-ref", "-d", ref)

    def _moves(self, ref: str, new: str) -> bool:
        return objects.moved(self.path, [objects.Move(ref, new)], lambda: None)

    def refused(self, changes: Sequence[tuple[str, str, str]], env: Mapping[str, str]) -> str:
        """What the rules say against these (ref, old, new); empty where they allow them."""
        lines = "".join(f"{old} {new} {ref}\n" for ref, old, new in changes)
        done = subprocess.run(
            [str(self.path / "hooks" / "pre-receive")],
            input=lines.encode(),
            capture_output=True,
            env=environment({**env, "GIT_DIR": str(self.path)}),
        )
        return done.stderr.decode() if done.returncode else ""

    # -- history -----------------------------------------------------------------------------

    def contains(self, tip: str, commit: str) -> bool:
        if (tip, commit) not in self._contains:
            if self.kind(tip) is None or self.kind(commit) is None:
                return False  # until somebody pushes it
            self._contains[tip, commit] = tip == commit or self._is_ancestor(commit, tip)
        return self._contains[tip, commit]

    def _is_ancestor(self, commit: str, tip: str) -> bool:
        with suppress(TakesGit):
            return commit in self._history.all_of([tip])
        try:
            self.run("merge-base", "--is-ancestor", commit, tip)
        except GitFailed:
            return False
        return True

    def about(self, commit: str, form: str) -> str:
        """What a commit says, in a format of `git log`."""
        if (commit, form) not in self._said:
            self._said[commit, form] = self._says(commit, form)
        return self._said[commit, form]

    def _says(self, commit: str, form: str) -> str:
        if form == "%B":
            with suppress(TakesGit):
                return self._history.commit(commit).message.decode("utf-8", "replace").rstrip("\n")
        return self.run("log", "-1", f"--format={form}", commit)

    def between(self, old: str, new: str) -> list[str]:
        """Commits that `new` has and `old` has not, newest first."""
        with suppress(TakesGit):
            return self._history.between([old] if old != NOTHING else [], new)
        return self.run("rev-list", new, *([f"^{old}"] if old != NOTHING else [])).split()

    def related(self, one: str, other: str) -> bool:
        with suppress(TakesGit):
            return bool(self._history.all_of([one]) & self._history.all_of([other]))
        try:
            return bool(self.run("merge-base", one, other))
        except GitFailed:
            return False

    def commit(
        self,
        ref: str,
        files: Mapping[str, str | bytes | None],
        message: str,
        at: datetime,
        author: str = "Somebody <somebody@example.org>",
        parents: Sequence[str] = (),
    ) -> str:
        """Put a commit on `ref`: `files` change (None deletes) over the first of `parents`."""
        try:
            first = self._history.commit(parents[0]).tree if parents else None
            puts = {path: None if put is None else _bytes(put) for path, put in files.items()}
            tree = self._objects.changed(first, puts)
        except (TakesGit, LookupError):
            return self._imported(ref, files, message, at, author, parents)
        when = f"{int(at.timestamp())} +0000"
        head = [f"tree {tree or self._objects.write('tree', b'')}"]
        head += [f"parent {each}" for each in parents]
        head += [f"author {author} {when}", f"committer {author} {when}", "", message]
        sha = self._objects.write("commit", "\n".join(head).encode())
        self.set_ref(ref, sha)
        return sha

    def _imported(
        self,
        ref: str,
        files: Mapping[str, str | bytes | None],
        message: str,
        at: datetime,
        author: str,
        parents: Sequence[str],
    ) -> str:
        feed = _fed("refs/tests/new", files, message, at, author, parents)
        self.run("fast-import", "--quiet", "--force", stdin=feed)
        sha = self.sha("refs/tests/new")
        assert sha is not None
        self.run(
            "update-ref",
            "--stdin",
            stdin=f"update {ref} {sha}\ndelete refs/tests/new\n",
        )
        return sha

    def commit_each(
        self,
        refs: Mapping[str, Mapping[str, str]],
        message: str,
        at: datetime,
        author: str,
        parent: str,
    ) -> None:
        """Many refs, each with one commit of its own on `parent`, by one process."""
        feeds = [_fed(ref, files, message, at, author, [parent]) for ref, files in refs.items()]
        self.run("fast-import", "--quiet", "--force", stdin=b"".join(feeds))

    def write_commit(
        self, tree: str, parents: Sequence[str], message: str, at: datetime, author: str
    ) -> str:
        name, _, mail = author.rstrip(">").partition(" <")
        when = f"{int(at.timestamp())} +0000"
        env = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", name), ("EMAIL", mail), ("DATE", when))
        }
        flags = [part for parent in parents for part in ("-p", parent)]
        return self.run("commit-tree", tree, *flags, stdin=message, env=env)

    def merged_tree(self, base: str, head: str) -> str | None:
        """The tree of merging `head` into `base`; None where they conflict."""
        try:
            return self.run("merge-tree", "--write-tree", base, head).splitlines()[0]
        except GitFailed:
            return None

    def _has_no_workflows(self, body: bytes, brought: Mapping[str, objects.Thing]) -> bool:
        """Whether it is certain that a push neither brings nor takes away a workflow file."""
        tips = set(self.refs().values())
        left = [new for _, _, new in commands(body) if new != NOTHING]
        history = History(lambda sha: brought.get(sha) or self._objects.loose(sha))
        seen: set[str] = set()
        try:
            while left:
                commit = left.pop()
                if commit in seen:
                    continue
                seen.add(commit)
                if len(seen) > _FEW:
                    return False
                tree = history.commit(commit).tree
                if ".github" in objects.entries(brought.get(tree) or self._objects.loose(tree)):
                    return False
                if commit not in tips:
                    left += history.commit(commit).parents
        except (TakesGit, LookupError):
            return False
        return True

    # -- HTTP --------------------------------------------------------------------------------

    def serve(
        self, cgi: Mapping[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """What `git http-backend` answers: status, headers, body."""
        if cgi["REQUEST_METHOD"] == "POST" and cgi["PATH_INFO"].endswith("/git-receive-pack"):
            taken = self._taken(cgi, body)
            if taken is not None:
                return 200, result("git-receive-pack", taken).headers, taken
        place = {"GIT_PROJECT_ROOT": str(self.path), "GIT_HTTP_EXPORT_ALL": "1"}
        found = answer(environment({**place, **cgi}), body)
        content = found.content
        if "receive-pack-result" in str(found.headers):
            content = reworded(content)
        return int(found.status.split()[0]), found.headers, content

    def _taken(self, cgi: Mapping[str, str], body: bytes) -> bytes | None:
        """What is answered to a push that no rule could refuse; None if it takes git and its hook,
        which start a dozen processes."""
        if (
            cgi.get("GH_RULES")
            or cgi.get("CONTENT_TYPE") != "application/x-git-receive-pack-request"
        ):
            return None
        start = body.find(PACK)
        try:
            brought = packs.read(body[start:], self._objects.loose) if start >= 0 else {}
        except (LookupError, zlib.error):
            return None
        if "GH_NO_WORKFLOWS" in cgi and not self._has_no_workflows(body, brought):
            return None
        return received(self.path, self._objects, body, brought)


#: Commits that a push is looked at for before its hook is run instead.
_FEW = 20

_CONFIG = """[http]
\treceivepack = true
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
[receive]
\thideRefs = refs/pull
\tautogc = false
[core]
\tlogAllRefUpdates = false
\tfsync = none
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""


def _fed(
    ref: str,
    files: Mapping[str, str | bytes | None] | Mapping[str, str],
    message: str,
    at: datetime,
    author: str,
    parents: Sequence[str],
) -> bytes:
    """A commit in the language of `git fast-import`."""
    when = f"{int(at.timestamp())} +0000"
    feed = bytearray(f"commit {ref}\n".encode())
    feed += f"author {author} {when}\ncommitter {author} {when}\n".encode()
    feed += _data(message.encode())
    for index, parent in enumerate(parents):
        feed += f"{'from' if index == 0 else 'merge'} {parent}\n".encode()
    for path, content in files.items():
        if content is None:
            feed += f"D {path}\n".encode()
        else:
            feed += f"M 100644 inline {path}\n".encode()
            feed += _data(content.encode() if isinstance(content, str) else content)
    return bytes(feed + b"\n")


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _data(content: bytes) -> bytes:
    return b"data %d\n" % len(content) + content + b"\n"


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """No setting of the machine's user or of the test's own git reaches the server's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    return {
        **kept,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        **extra,
    }


def commands(body: bytes) -> list[tuple[str, str, str]]:
    """(ref, old, new) of each command at the head of a receive-pack request."""
    found = []
    for line in packets(body):
        if not line:
            break
        if line.startswith(b"shallow "):  # a pusher tells first where its history was cut off
            continue
        old, new, ref = line.split(b"\0")[0].decode().strip().split(" ", 2)
        found.append((ref, old, new))
    return found


def reworded(content: bytes) -> bytes:
    """A report of a push, with GitHub's words where a rule declined it.

    The report is packets within the packets of side band 1, each with its length in front.
    """
    if b"pre-receive hook declined" not in content:
        return content
    out = bytearray()
    for line in packets(content):
        if line.startswith(b"\1"):
            inner = b"".join(
                packet(each.replace(b"pre-receive hook declined", _DECLINED)) if each else b"0000"
                for each in packets(line[1:])
            )
            out += packet(b"\1" + inner)
        else:
            out += packet(line) if line else b"0000"
    return bytes(out)
