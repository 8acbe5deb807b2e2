"""The message of a gate: a template over artifacts, checked early, rendered without surprises.

Two styles: `{self.accuracy:.1%}` as in `str.format`, and Jinja2, which a template is that holds
`{{` or `{%`. Both read `self.<artifact>`, `params.<name>`, and on a join `inputs.<step>.<artifact>`
or `inputs[0].<artifact>`. Neither reaches Python's insides, and format style calls nothing.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bridge.core.errors import Faults
from bridge.core.sanitize import harmless_line, is_secret, shortened

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import SandboxedEnvironment

_ROOTS: Final = ("self", "inputs", "params")
_LONGEST_VALUE: Final = 300
_LONGEST_MESSAGE: Final = 16_000
_MOST_NAMES: Final = 8
_FIELD: Final = re.compile(r"([^\W\d]\w*)((?:\.\w+|\[[^\[\]]+\])*)")
_STEP: Final = re.compile(r"\.(\w+)|\[([^\[\]]+)\]")
_INSIDES: Final = frozenset({"gi_frame", "cr_frame", "ag_frame", "tb_frame", "f_globals"})
#: `<Model object at 0x7f…>` is another text in every process, and the digest is over the text.
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Known:
    """What can be known of a step's artifacts before it runs.

    `artifacts` and `params` are None where they cannot be known. `branches` are the steps that a
    join joins (empty: the step is no join); `foreach` says that they are many tasks of one step.
    """

    artifacts: frozenset[str] | None = None
    branches: tuple[str, ...] = ()
    foreach: bool = False
    params: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a template may read. The mappings may be lazy: a value is taken when it is needed.

    `inputs` are the branches of a join in order, each with its step's name; None: no join.
    """

    artifacts: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[tuple[str, Mapping[str, Any]]] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


def check(template: str, known: Known) -> None:
    """Refuse a template that cannot be rendered, as far as that can be known. Raises `Faults`."""
    parsed = _parsed(template)
    faults = [says for read in parsed.reads for says in _read_faults(read, known)]
    faults = [*parsed.faults, *faults]
    if faults:
        raise Faults("the message", list(dict.fromkeys(faults)))


def names(template: str) -> frozenset[str]:
    """The names of all artifacts that the template may read; never too few. Raises `Faults`."""
    parsed = _sound(template)
    found = {each for read in parsed.reads for each in _artifact_of(read)}
    return frozenset(found | parsed.loose)


def render(template: str, scope: Scope, escape: Callable[[str], str] = harmless_line) -> str:
    """The message, as Markdown: the template's own text, and every value through `escape`.

    The same values give the same text in every process. Raises `Faults` naming the expression that
    fails, and the names that it could have used.
    """
    text = _sound(template).render(scope, lambda value: escape(_text(value)))
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"


def _fault(says: str) -> Faults:
    return Faults("the message", [says])


# -- what a template reads -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Read:
    """`self.accuracy` in `{self.accuracy:.1%}`; `guarded` where the template lets it be missing."""

    expression: str
    root: str
    steps: tuple[str | int, ...]
    guarded: bool = False
    line: int = 1

    @property
    def name(self) -> str:
        return self.root + "".join(
            f"[{each}]" if isinstance(each, int) else f".{each}" for each in self.steps
        )


@dataclass(frozen=True, slots=True)
class _Parsed:
    reads: tuple[_Read, ...]
    render: Callable[[Scope, Callable[[Any], str]], str]
    loose: frozenset[str] = frozenset()  # attributes of a loop over `inputs`
    faults: tuple[str, ...] = ()  # it cannot be rendered then


def _parsed(template: str) -> _Parsed:
    return _jinja(template) if "{{" in template or "{%" in template else _format(template)


def _sound(template: str) -> _Parsed:
    parsed = _parsed(template)
    if parsed.faults:
        raise Faults("the message", parsed.faults)
    return parsed


def _artifact_of(read: _Read) -> Iterator[str]:
    depth = 1 if read.root == "inputs" else 0
    if read.root in {"self", "inputs"} and len(read.steps) > depth:
        yield str(read.steps[depth])


def _read_faults(read: _Read, known: Known) -> Iterator[str]:
    steps = read.steps
    if read.root not in _ROOTS:
        there = {f"self.{each}" for each in known.artifacts or ()} or set(_ROOTS)
        near = _there_are(f"self.{read.root}", there)
        literal = "" if read.expression.startswith("{{") else _literally(read.expression)
        yield f"{read.expression} reads {read.root}, which does not exist; {near}{literal}"
    elif read.root == "inputs":
        yield from _join_faults(read, known)
    elif read.root == "params":
        yield from _name_faults(read, "params", steps[0] if steps else None, known.params)
    elif known.branches and not (steps and steps[0] in (known.params or ())):
        wanted = str(steps[0]) if steps else "artifact"
        says = " or ".join(f"inputs.{branch}.{wanted}" for branch in known.branches)
        if known.foreach:
            says = f"inputs[0].{wanted}, or a loop over inputs"
        yield f"{read.expression} is ambiguous, because the step is a join; write {says}"
    else:
        own = known.artifacts
        allowed = None if own is None else own | (known.params or frozenset())
        yield from _name_faults(read, "self", steps[0] if steps else None, allowed)


def _join_faults(read: _Read, known: Known) -> Iterator[str]:
    first = read.steps[0] if read.steps else None
    if not known.branches:
        yield f"{read.expression} reads inputs, but the step is no join; write self.<artifact>"
    elif isinstance(first, str) and known.foreach:
        yield f"{read.expression} is ambiguous: there are many tasks of {first}; write inputs[0]"
    elif isinstance(first, str):
        yield from _name_faults(read, "inputs", first, frozenset(known.branches))
    if first is not None and len(read.steps) > 1 and known.branches and not known.foreach:
        spoken = read.name.rpartition(".")[0]
        yield from _name_faults(read, spoken, read.steps[1], known.artifacts)


def _name_faults(
    read: _Read, of: str, name: str | int | None, there: frozenset[str] | None
) -> Iterator[str]:
    if name is None or isinstance(name, int):
        yield f"{read.expression}: {of} must be followed by a name, such as {of}.accuracy"
    elif there is not None and name not in there and not read.guarded:
        yield f"{read.expression} {_lacking(of, name, there)}"


def _lacking(of: str, name: str, there: Sequence[str] | frozenset[str]) -> str:
    wanted = f"{of}.{name}"
    return f"reads {wanted}, which does not exist; " + _there_are(
        wanted, {f"{of}.{each}" for each in there}
    )


def _there_are(wanted: str, there: set[str]) -> str:
    from difflib import SequenceMatcher

    def distance(name: str) -> tuple[float, str]:
        return -SequenceMatcher(None, wanted, name).ratio(), name

    nearest = sorted(there, key=distance)
    more = f" and {len(nearest) - _MOST_NAMES} more" if len(nearest) > _MOST_NAMES else ""
    return f"there is {', '.join(nearest[:_MOST_NAMES])}{more}" if nearest else "there is nothing"


# -- what a template sees ------------------------------------------------------------------------
# No member of these has a public name: every name belongs to an artifact.


class _Names:
    """`self`, `params`, or one branch of a join."""

    __slots__ = ("_of", "_values")

    def __init__(self, of: str, values: Mapping[str, Any]) -> None:
        self._of = of
        self._values = values

    def __getitem__(self, name: object) -> Any:
        if not isinstance(name, str) or name not in self._values:
            raise LookupError(_lacks(self, name))
        value = self._values[name]
        return "(hidden)" if is_secret(name, value) else value


class _Inputs:
    """The branches of a join: by number, by the step's name, or one after another."""

    __slots__ = ("_branches",)

    def __init__(self, branches: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        self._branches = branches

    def __getitem__(self, key: object) -> _Names:
        found = [
            _Names(f"inputs[{index}]" if isinstance(key, int) else f"inputs.{step}", values)
            for index, (step, values) in enumerate(self._branches)
            if key in (index, step)
        ]
        if len(found) != 1:
            raise LookupError(_lacks(self, key))
        return found[0]

    def __iter__(self) -> Iterator[_Names]:
        return (self[index] for index in range(len(self._branches)))

    def __len__(self) -> int:
        return len(self._branches)


def _lacks(holder: _Names | _Inputs, key: object) -> str:
    if isinstance(holder, _Names):
        return _lacking(holder._of, str(key), sorted(holder._values))
    steps = [step for step, _ in holder._branches]
    if steps.count(str(key)) > 1:
        return f"is ambiguous: there are {steps.count(str(key))} tasks of {key}; write inputs[0]"
    if isinstance(key, int):
        return f"reads inputs[{key}], but there are {len(steps)} inputs, counted from 0"
    return _lacking("inputs", str(key), steps)


class _Either(Mapping[str, Any]):
    """The first mapping, and where it lacks a name, the second; still lazy."""

    def __init__(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
        self._both = first, second

    def __getitem__(self, name: str) -> Any:
        return self._both[name not in self._both[0]][name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._both[0], *self._both[1]]))

    def __len__(self) -> int:
        return len(list(iter(self)))


def _view(scope: Scope) -> dict[str, Any]:
    view: dict[str, Any] = {
        # A parameter is an attribute of the flow as well.
        "self": _Names("self", _Either(scope.artifacts, scope.params)),
        "params": _Names("params", scope.params),
    }
    if scope.inputs is not None:
        view["inputs"] = _Inputs(scope.inputs)
    return view


def _text(value: Any) -> str:
    """A value as text: the same in every process, on one line, of bounded length."""
    if isinstance(value, _Names | _Inputs):
        raise TypeError("it names no artifact; write self.accuracy")
    if isinstance(value, set | frozenset):
        # The order of a set of texts changes with the hash seed.
        return shortened("{" + ", ".join(sorted(map(repr, value))) + "}", _LONGEST_VALUE)
    return shortened(_ADDRESS.sub("", str(value)), _LONGEST_VALUE)


# -- format style --------------------------------------------------------------------------------


def _format(template: str) -> _Parsed:
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        brace = "}" if "Single '}'" in str(error) else "{"
        raise _fault(f"{_quoted(template)} cannot be read: {error}{_literally(brace)}") from None
    reads: list[_Read] = []
    faults = []
    for _, name, spec, conversion in pieces:
        if name is None:
            continue
        source = _source(name, spec, conversion)
        match = _FIELD.fullmatch(name)
        says = _format_faults(spec or "", conversion, match)
        if says or not match:
            faults.append(f"{source} {says}" + ("" if match else _literally(source)))
        else:
            reads.append(_Read(source, match[1], tuple(_steps(match[2]))))

    def rendered(scope: Scope, out: Callable[[Any], str]) -> str:
        left = iter(reads)
        text = []
        for literal, name, spec, conversion in pieces:
            text.append(literal)
            if name is not None:
                text.append(_formatted(next(left), scope, spec or "", conversion or "s", out))
        return "".join(text)

    return _Parsed(tuple(reads), rendered, faults=tuple(faults))


def _literally(source: str) -> str:
    # `{{` makes a template Jinja2, so that doubled braces are no way out here.
    return (
        f"; to show {source} itself, write {{{{ {source!r} }}}} (the message is then a Jinja2"
        " template, where a value is {{ self.accuracy }})"
    )


def _source(name: str, spec: str | None, conversion: str | None) -> str:
    kind = f"!{conversion}" if conversion else ""
    return "{" + name + kind + (f":{spec}" if spec else "") + "}"


def _format_faults(spec: str, conversion: str | None, match: re.Match[str] | None) -> str | None:
    if not match:
        return "names nothing; write {self.accuracy}"
    if any(str(each).startswith("_") or each in _INSIDES for each in _steps(match[2])):
        return "reaches for Python's insides; only artifacts and what they hold can be shown"
    if "{" in spec or re.search(r"\d{4}", spec):
        return f"has a format that is not supported: {spec}"
    if conversion and conversion not in _CONVERSIONS:
        return f"has a conversion that does not exist: !{conversion}"
    return None


def _steps(path: str) -> Iterator[str | int]:
    for attribute, key in _STEP.findall(path):
        yield int(key) if key.isdecimal() and len(key) < 10 else attribute or key


def _formatted(
    read: _Read, scope: Scope, spec: str, conversion: str, out: Callable[[Any], str]
) -> str:
    value: Any = _view(scope)
    try:
        for step in (read.root, *read.steps):
            value = _stepped(value, step)
        value = _CONVERSIONS[conversion](value)
        return out(format(value, spec) if spec else value)
    except Exception as error:  # noqa: BLE001 - an artifact's own code, or a format it does not have
        raise _fault(_why(read, scope, error)) from None


#: `!s` is what a field without a conversion comes to, unless it has a format of its own.
_CONVERSIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "s": lambda value: value,
    "r": repr,
    "a": ascii,
}


def _why(read: _Read, scope: Scope, error: Exception) -> str:
    """Which name is missing, if that is why; otherwise what the error itself says."""
    for says in _read_faults(read, _known(scope)):
        return says
    if isinstance(error, LookupError) and error.args:
        return f"{read.expression} {error.args[0]}"
    return f"{read.expression} fails: {_reason(error)}"


def _known(scope: Scope) -> Known:
    steps = [step for step, _ in scope.inputs or ()]
    return Known(
        artifacts=None if steps else frozenset(scope.artifacts),
        branches=tuple(dict.fromkeys(steps)),
        foreach=len(set(steps)) < len(steps),
        params=frozenset(scope.params),
    )


def _stepped(value: Any, step: str | int) -> Any:
    if isinstance(value, _Names | _Inputs):
        return value[step]
    if isinstance(step, str) and hasattr(value, step):
        return getattr(value, step)
    try:
        return value[step]
    except (TypeError, LookupError):
        raise LookupError(f"reads {step}, which {type(value).__name__} does not have") from None


def _reason(error: Exception) -> str:
    return shortened(str(error), 200) or type(error).__name__


def _quoted(template: str) -> str:
    return repr(shortened(template, 60))


# -- Jinja2 --------------------------------------------------------------------------------------

#: In Jinja2 `self` is the template's own blocks; the name is changed when the template is read.
_SELF: Final = "hitl_self"


def _jinja(template: str) -> _Parsed:
    from jinja2 import TemplateSyntaxError, nodes

    try:
        tree = _environment().parse(template)
    except TemplateSyntaxError as error:
        line = _quoted_line(template, error.lineno)
        raise _fault(f"{line} cannot be read: {error.message}") from None
    lines = template.splitlines()
    stored = {each.name for each in tree.find_all(nodes.Name) if each.ctx == "store"}
    faults = [f"{_quoted_line(template, line)} {says}" for line, says in _jinja_faults(tree)]
    if faults:
        raise Faults("the message", faults)
    reads = tuple(_jinja_reads(tree, stored, lines))
    # A loop over `inputs` reads by the loop's own name: every attribute may be an artifact.
    bare = any(read.root == "inputs" and not read.steps for read in reads)
    loose = {each.attr for each in tree.find_all(nodes.Getattr)} if bare else set()
    for name in tree.find_all(nodes.Name):
        name.name = _SELF if name.name == "self" else name.name

    def rendered(scope: Scope, out: Callable[[Any], str]) -> str:
        return _jinja_rendered(tree, template, reads, scope, out)

    return _Parsed(reads, rendered, frozenset(loose))


def _jinja_faults(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    """What Jinja2 would only find when it comes to it, or would allow and a message must not."""
    from jinja2 import nodes

    environment = _environment()
    for barred in tree.find_all(_barred()):
        says = "a message may hold {{ }}, {% if %}, {% for %} and {% set %}"
        yield barred.lineno, f"uses {type(barred).__name__.lower()}; {says}"
    for kind, there in ((nodes.Filter, environment.filters), (nodes.Test, environment.tests)):
        for used in tree.find_all(kind):
            if used.name not in there:
                word = kind.__name__.lower()
                yield used.lineno, f"uses the {word} {used.name}, which does not exist"


def _jinja_reads(tree: nodes.Template, stored: set[str], lines: list[str]) -> Iterator[_Read]:
    """Every chain of names that starts at the top: `self.accuracy`, `inputs[0].loss`, `typo`."""
    from jinja2 import nodes

    def walk(node: nodes.Node, guarded: bool) -> Iterator[_Read]:
        root, steps = _chain(node)
        if root is not None:
            if root in _ROOTS or root not in stored | _GLOBALS:
                said = _expression(lines, node.lineno, root, steps)
                yield _Read(said, root, steps, guarded, node.lineno)
            return
        softens = isinstance(node, nodes.Filter) and node.name in {"default", "d"}
        softens |= isinstance(node, nodes.Test) and node.name in {"defined", "undefined"}
        for child in node.iter_child_nodes():
            yield from walk(child, guarded or softens)

    return walk(tree, False)


def _chain(node: nodes.Node) -> tuple[str | None, tuple[str | int, ...]]:
    """`self.metrics["loss"]` as its root and steps; None where the node is no such chain."""
    from jinja2 import nodes

    steps: list[str | int] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            steps.append(node.attr)
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str | int):
            steps.append(node.arg.value)
        else:
            return None, ()
        node = node.node
    if isinstance(node, nodes.Name) and node.ctx == "load":
        return node.name, tuple(reversed(steps))
    return None, ()


def _expression(lines: list[str], lineno: int, root: str, steps: tuple[str | int, ...]) -> str:
    """The `{{ … }}` or `{% … %}` of this line that holds the chain, as its author wrote it."""
    line = lines[lineno - 1] if 0 < lineno <= len(lines) else ""
    said = [root, *map(str, steps)]
    for found in re.findall(r"\{\{.*?\}\}|\{%.*?%\}", line):
        if all(re.search(rf"\b{re.escape(each)}\b", found) for each in said):
            return shortened(found, 80)
    return "{{ " + ".".join(said) + " }}"


def _quoted_line(template: str, lineno: int | None) -> str:
    lines = template.splitlines()
    if lineno and 0 < lineno <= len(lines):
        where = f"line {lineno}, " if len(lines) > 1 else ""
        return where + repr(shortened(lines[lineno - 1], 80))
    return _quoted(template)


#: All that a template may call besides the methods of plain values.
_GLOBALS: Final = frozenset({"range", "loop"})
_PLAIN: Final = (str, int, float, dict, list, tuple)
#: What makes a text as long as some value says.
_GROWING: Final = frozenset({str, bytes, list, tuple})
_PADDING: Final = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs"})


def _barred() -> tuple[type[nodes.Node], ...]:
    from jinja2 import nodes

    return (nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.Include, nodes.Import,
            nodes.FromImport, nodes.Extends, nodes.Block, nodes.AssignBlock)  # fmt: skip


@functools.cache
def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def is_safe_callable(self, obj: Any) -> bool:
            if getattr(obj, "__name__", "") in _PADDING:
                return False
            return obj is self.globals["range"] or isinstance(
                getattr(obj, "__self__", None), _PLAIN
            )

        def call_binop(self, _: Any, operator: str, left: Any, right: Any) -> Any:
            # A text times a billion, or a power of a power, is no message.
            plain = all(isinstance(each, int | float) for each in (left, right))
            if operator == "**" and plain and abs(right) <= 64 and abs(left) <= 10**6:
                return left**right
            if operator == "*" and (plain or not {type(left), type(right)} & _GROWING):
                return left * right
            raise SecurityError(f"{operator} is for numbers of a moderate size here")

    environment = Sandbox(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.globals = {"range": environment.globals["range"]}
    del environment.filters["center"]
    return environment


def _jinja_rendered(
    tree: nodes.Template,
    template: str,
    reads: Sequence[_Read],
    scope: Scope,
    out: Callable[[Any], str],
) -> str:
    from jinja2 import Undefined

    def shown(value: Any) -> Any:
        return value if isinstance(value, Undefined) else out(value)

    environment = _environment().overlay(finalize=shown)
    text: list[str] = []
    try:
        view = _view(scope)
        view[_SELF] = view.pop("self")
        for piece in environment.from_string(tree).generate(view):
            text.append(piece)
            if sum(map(len, text)) > _LONGEST_MESSAGE:
                break
    except Exception as error:  # noqa: BLE001 - an artifact's own code, or a filter it does not fit
        raise _jinja_fault(template, reads, scope, error) from None
    return "".join(text)


def _jinja_fault(template: str, reads: Sequence[_Read], scope: Scope, error: Exception) -> Faults:
    lineno = 1
    trace = error.__traceback__
    while trace is not None:
        # Jinja2 puts the template's own lines into the traceback under this name.
        if trace.tb_frame.f_code.co_filename == "<template>":
            lineno = trace.tb_lineno
        trace = trace.tb_next
    known = _known(scope)
    here = [read for read in reads if read.line == lineno and not read.guarded]
    for says in (each for read in here for each in _read_faults(read, known)):
        return _fault(says)
    return _fault(f"{_quoted_line(template, lineno)} fails: {_reason(error)}")
