"""Makes a virtual environment of the locked wheels, with Python's own library alone.

    python -I install_wheels.py VENV LOCK...

It takes a fraction of pip's time: the downloads run beside each other, the largest packages are
compiled meanwhile, and nothing is compiled that is not imported.

Every file is held by its hash in the lock, wherever it comes from. What this does not know, such as
a setting of pip's or another system, it leaves to pip, which installs from the same locks.

Ends with 0 if it is done, with 4 if an index serves another file. With anything else pip has to do
it: with 3 it says why, and Python itself ends with 1 or by a signal.
"""

from __future__ import annotations

import configparser
import hashlib
import html.parser
import http.client
import importlib.util
import io
import json
import marshal
import os
import platform
import re
import ssl
import stat
import subprocess
import sys
import sysconfig
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

PYPI = "https://pypi.org/simple"
LARGEST = 256 * 1024 * 1024  # of a page, of a wheel, and of what is in one
AT_ONCE = 8
REDIRECTS = 3
SECONDS = 20.0

#: The largest of what every run of the action imports before it asks GitHub for anything. The rest
#: is compiled if it is imported: a process for each would take longer.
COMPILED = {"cryptography", "pygithub", "requests", "urllib3"}

#: Settings of pip's that change nothing of what is installed from where.
NO_MATTER = {
    "cache-dir", "default-timeout", "disable-pip-version-check", "no-cache-dir", "no-color",
    "no-input", "progress-bar", "quiet", "retries", "root-user-action", "timeout", "verbose",
}  # fmt: skip

#: What a network and an index that nobody reads can end in: `html.parser` asserts, and `json` goes
#: as deep as a page does.
UNREADABLE = (
    OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError,
    zipfile.BadZipFile, zlib.error, NotImplementedError, AssertionError, RecursionError,
)  # fmt: skip

PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")

#: The markers of the locks: all of them say "not PyPy", and on PyPy pip reads them.
MARKERS = re.compile(
    r"(?:(?:and )?(?:platform_python_implementation|implementation_name) != 'PyPy' ?)*"
)


class LeaveToPip(Exception):
    """Something that is not known here. The text says what."""


class Refused(Exception):
    """A file that is not what the lock says. The text is for people."""


class Pinned(NamedTuple):
    """A package of the lock."""

    name: str
    version: str
    hashes: frozenset[str]


#: What a wheel has for Python to import, by its place among the packages.
Files = dict[PurePosixPath, bytes]


class Link(NamedTuple):
    """A file of an index. `digest`: its SHA-256, if the index says it."""

    name: str
    url: str
    digest: str | None


def locked(text: str) -> Iterator[Pinned]:
    """The packages of a lock as `make lock` writes it."""
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        wanted, *hashes = line.split("--hash=sha256:")
        found = re.fullmatch(r"([\w.-]+)==([\w.!+-]+) *(?:; *(.*))?", wanted.strip())
        if not (found and hashes) or not MARKERS.fullmatch(f"{found[3] or ''} ".lstrip()):
            raise LeaveToPip(f"a line of the lock is not known: {line[:80]}")
        yield Pinned(found[1].lower(), found[2], frozenset(each.strip() for each in hashes))


# -- what this Python can load ---------------------------------------------------------------------


def tags(minor: int, machine: str, glibc: int) -> list[str]:
    """The tags of wheels for CPython 3.`minor` on Linux, the best first."""
    old = {"x86_64": {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}}
    old |= {"aarch64": {17: "manylinux2014"}}
    lowest = 5 if machine == "x86_64" else 17
    here = []
    for each in range(glibc, lowest - 1, -1):
        here.append(f"manylinux_2_{each}_{machine}")
        here += [f"{old[machine][each]}_{machine}"] if each in old[machine] else []
    here.append(f"linux_{machine}")
    own = f"cp3{minor}"
    versions = [f"py3{minor}", "py3", *(f"py3{each}" for each in range(minor - 1, -1, -1))]
    binary = [(own, own), (own, "abi3"), (own, "none")]
    binary += [(f"cp3{each}", "abi3") for each in range(minor - 1, 1, -1)]
    binary += [(each, "none") for each in versions]
    return [
        *(f"{python}-{abi}-{system}" for python, abi in binary for system in here),
        *(f"{each}-none-any" for each in (own, *versions)),
    ]


def tags_here() -> list[str]:
    """The tags of this interpreter. Raises `LeaveToPip` if its system is another one."""
    libc, version = platform.libc_ver()
    threads = sysconfig.get_config_var("Py_GIL_DISABLED")
    machine = os.uname().machine
    if sys.platform != "linux" or libc != "glibc" or sys.implementation.name != "cpython":
        raise LeaveToPip("this is no CPython on Linux with glibc")
    if machine not in ("x86_64", "aarch64") or sys.maxsize < 2**32 or threads:
        raise LeaveToPip(f"this is a Python for {machine}, 32 bits or without its lock")
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        raise LeaveToPip(f"this is Python {platform.python_version()}")
    return tags(sys.version_info.minor, machine, int(version.split(".")[1]))


def rank(name: str, pinned: Pinned, known: Mapping[str, int]) -> int | None:
    """How well a file's name fits, the lowest best. None: it is another file."""
    if not name.endswith(".whl") or "/" in name:
        return None
    parts = name.removesuffix(".whl").split("-")
    if len(parts) not in (5, 6) or parts[1] != pinned.version or plain(parts[0]) != pinned.name:
        return None
    pythons, abis, systems = (each.split(".") for each in parts[-3:])
    fits = (f"{one}-{two}-{three}" for one in pythons for two in abis for three in systems)
    return min((known[each] for each in fits if each in known), default=None)


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# -- the index -------------------------------------------------------------------------------------


def settings(env: Mapping[str, str], prefix: str = sys.prefix) -> dict[str, str]:
    """What pip is told by its files and by variables."""
    home = Path(env.get("HOME") or "/nowhere")
    folders = [Path(each) for each in (env.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")]
    own = Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    files = [*(each / "pip" / "pip.conf" for each in folders), Path("/etc/pip.conf")]
    files += [home / ".pip" / "pip.conf", own, Path(prefix) / "pip.conf"]
    given = env.get("PIP_CONFIG_FILE")
    files = [] if given == os.devnull else [*files, *([Path(given)] if given else [])]
    parser = configparser.RawConfigParser()
    try:
        parser.read(files, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise LeaveToPip("pip's configuration cannot be read here") from error
    said: dict[str, str] = {}
    for section in ("global", "install"):
        said |= dict(parser[section]) if parser.has_section(section) else {}
    said |= {
        name.removeprefix("PIP_").lower(): value
        for name, value in env.items()
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE" and value
    }
    return {name.lstrip("-").replace("_", "-"): value for name, value in said.items()}


class Index:
    """A package index, asked as PEP 503 and PEP 691 say, over one connection a thread and host."""

    def __init__(self, address: str, cert: str | None) -> None:
        parts = urlsplit(address)
        if parts.username or parts.password or parts.query or not parts.hostname:
            raise LeaveToPip("the index wants a password")
        if parts.scheme != "https" and parts.hostname != "127.0.0.1":
            raise LeaveToPip("the index has no https address")
        self._address = address.rstrip("/")
        self._scheme = parts.scheme
        self._trust = ssl.create_default_context(cafile=cert) if self._scheme == "https" else None
        self._open = threading.local()
        self._lines: list[http.client.HTTPConnection] = []

    def close(self) -> None:
        for each in self._lines:
            each.close()

    def links(self, name: str) -> list[Link]:
        """The files that it has of a package."""
        kinds = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
        url, kind, body = self._read(f"{self._address}/{name}/", kinds)
        if kind.endswith("+json"):
            rows = json.loads(body)["files"]
            return [
                Link(str(row["filename"]), urljoin(url, row["url"]), row["hashes"].get("sha256"))
                for row in rows
            ]
        page = Anchors()
        page.feed(body.decode("utf-8"))
        return [link_of(urljoin(url, each)) for each in page.found]

    def file(self, url: str) -> bytes:
        """A file that one of its pages links."""
        return self._read(url, "*/*")[2]

    def _read(self, url: str, kinds: str) -> tuple[str, str, bytes]:
        for _ in range(REDIRECTS + 1):
            answer = self._ask(url, kinds)
            body = answer.read(LARGEST + 1)
            if answer.status == 200 and len(body) <= LARGEST:
                return url, answer.headers.get_content_type(), body
            moved = urljoin(url, answer.headers.get("Location") or "")
            if answer.status not in (301, 302, 303, 307, 308) or len(body) > LARGEST:
                raise LeaveToPip(f"the index answers with {answer.status}")
            # An index that moved to another host is pip's to judge.
            if urlsplit(moved)[:2] != urlsplit(url)[:2]:
                raise LeaveToPip(f"{urlsplit(url).hostname} sends to another host")
            url = moved
        raise LeaveToPip("the index sends from one address to the next")

    def _ask(self, url: str, kinds: str) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        if parts.scheme != self._scheme or parts.username or not parts.hostname:
            raise LeaveToPip("the index links a file at an address of another kind")
        line = self._line(parts.hostname, parts.port)
        way = f"{parts.path}?{parts.query}" if parts.query else parts.path
        line.request("GET", way, headers={"Accept": kinds, "User-Agent": "approval-bridge"})
        return line.getresponse()

    def _line(self, host: str, port: int | None) -> http.client.HTTPConnection:
        lines = self._open.__dict__.setdefault("lines", {})
        if (host, port) not in lines:
            lines[host, port] = (
                http.client.HTTPSConnection(host, port, timeout=SECONDS, context=self._trust)
                if self._trust
                else http.client.HTTPConnection(host, port, timeout=SECONDS)
            )
            self._lines.append(lines[host, port])
        kept: http.client.HTTPConnection = lines[host, port]
        return kept


class Anchors(html.parser.HTMLParser):
    """The addresses in a page of an index."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def link_of(address: str) -> Link:
    url, fragment = urldefrag(address)
    kind, _, digest = fragment.partition("=")
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    return Link(name, url, digest if kind == "sha256" else None)


# -- a wheel ---------------------------------------------------------------------------------------


def fetch(pinned: Pinned, index: Index, known: Mapping[str, int]) -> bytes:
    """The best wheel, whole. Raises `Refused` if it is not the one of the lock."""
    ranked = [
        (place, link.digest is None, link)
        for link in index.links(pinned.name)
        if (place := rank(link.name, pinned, known)) is not None
        if link.digest is None or link.digest in pinned.hashes
    ]
    if not ranked:
        raise LeaveToPip(
            f"the index has no wheel of {pinned.name} {pinned.version} for this system"
        )
    link = min(ranked, key=lambda each: each[:2])[2]
    content = index.file(link.url)
    if hashlib.sha256(content).hexdigest() not in pinned.hashes:
        raise Refused(
            f"{link.name} is not the file that the lock names: its hash differs. Nothing was"
            f" installed. Ask who runs {urlsplit(link.url).hostname}"
        )
    return content


def files_of(content: bytes) -> Files:
    """What Python imports, and no scripts. Raises `Refused` if a name leads elsewhere."""
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        rows = [row for row in wheel.infolist() if not row.is_dir()]
        if sum(row.file_size for row in rows) > LARGEST:
            raise Refused("a wheel is too large when unpacked")
        places = ((place_of(row), row) for row in rows)
        return {place: wheel.read(row) for place, row in places if place is not None}


def place_of(row: zipfile.ZipInfo) -> PurePosixPath | None:
    """Where a file of a wheel goes. None: it is nothing that is imported."""
    path = PurePosixPath(row.filename)
    if (
        not path.parts
        or path.is_absolute()
        or ".." in path.parts
        or re.search(r"[\\:\x00]", row.orig_filename)
    ):
        raise Refused(f"a wheel has a file that would lie outside of it: {row.filename!r:.80}")
    if stat.S_ISLNK(row.external_attr >> 16):
        raise Refused(f"a wheel has a link in the place of a file: {row.filename!r:.80}")
    if path.suffix == ".pth":
        raise Refused(
            f"a wheel has a file that Python runs whenever it starts: {row.filename!r:.80}"
        )
    if path.suffix in (".pyi", ".h", ".c") or path.parts[0].endswith(".dist-info"):
        return path if path.name == "METADATA" else None
    if not path.parts[0].endswith(".data"):
        return path
    imported = len(path.parts) > 2 and path.parts[1] in ("purelib", "platlib")
    return PurePosixPath(*path.parts[2:]) if imported else None


#: A process of its own, so that it takes another core than the downloads.
_COMPILE = """
import marshal, sys
made = {}
for name, source in marshal.load(sys.stdin.buffer).items():
    try:
        made[name] = marshal.dumps(compile(source, name, "exec", dont_inherit=True))
    except (SyntaxError, ValueError):
        pass  # its import says so
marshal.dump(made, sys.stdout.buffer)
"""


def compiled(files: Files, folder: Path) -> Files:
    """What Python would write as it imports these from this folder. Nothing, if it can't.

    The files are held by the hash of their wheel and stay as they are, so Python need not compare
    them with what was compiled: https://peps.python.org/pep-0552/
    """
    sources = {str(folder / place): text for place, text in files.items() if place.suffix == ".py"}
    command = [sys.executable, "-I", "-S", "-c", _COMPILE]
    done = subprocess.run(command, input=marshal.dumps(sources), capture_output=True, check=False)
    if done.returncode != 0:
        return {}
    unchecked = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
    return {
        PurePosixPath(importlib.util.cache_from_source(name)).relative_to(folder): (
            unchecked + importlib.util.source_hash(sources[name]) + code
        )
        for name, code in marshal.loads(done.stdout).items()  # noqa: S302 - our own process
    }


def install(folder: Path, packages: Sequence[Pinned], index: Index, known: Sequence[str]) -> None:
    """Fetch all, then write all: nothing is there if one of them is refused."""
    places = {tag: place for place, tag in reversed(list(enumerate(known)))}

    def fetched(each: Pinned) -> Files:
        files = files_of(fetch(each, index, places))
        return files | compiled(files, folder) if each.name in COMPILED else files

    # What takes longest to compile is begun with.
    ordered = sorted(packages, key=lambda each: each.name not in COMPILED)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        wheels = list(pool.map(fetched, ordered))
    made = set[Path]()
    for path, content in ((folder / name, text) for each in wheels for name, text in each.items()):
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.write_bytes(content)


def environment(folder: Path) -> Path:
    """A virtual environment without scripts (PEP 405). The place of its packages."""
    executable = Path(getattr(sys, "_base_executable", sys.executable))
    packages = folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    packages.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(executable)
    about = f"home = {executable.parent}\ninclude-system-site-packages = false\n"
    (folder / "pyvenv.cfg").write_text(about, encoding="utf-8")
    return packages


def main(folder: Path, locks: Sequence[Path], env: Mapping[str, str]) -> None:
    """Raises `LeaveToPip` or `Refused`."""
    said = settings(env)
    others = set(said) - NO_MATTER - {"index-url", "cert"}
    if others:
        raise LeaveToPip(f"pip is configured with {', '.join(sorted(others))}")
    packages = {each.name: each for lock in locks for each in locked(lock.read_text("utf-8"))}
    if any(env.get(each) for each in PROXIES):
        raise LeaveToPip("a proxy leads to the index")
    index = Index(said.get("index-url", PYPI), said.get("cert"))
    with closing(index):
        install(environment(folder), list(packages.values()), index, tags_here())


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), [Path(each) for each in sys.argv[2:]], os.environ)
    except Refused as refused:
        print(refused)
        sys.exit(4)
    except (LeaveToPip, *UNREADABLE) as reason:
        # The address could hold a name or a password of the job's.
        print(reason if isinstance(reason, LeaveToPip) else type(reason).__name__)
        sys.exit(3)
