"""Messages in Jinja2, in a sandbox that calls `range` and the methods of plain values alone."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from bridge.core import hide_secrets
from bridge.core.errors import Faults
from bridge.core.sanitize import shortened
from bridge.core.template_reads import (
    LONGEST_MESSAGE,
    ROOTS,
    Parsed,
    Read,
    Scope,
    fault,
    known_of,
    quoted,
    read_faults,
    reason,
    view_of,
)

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import SandboxedEnvironment

#: In Jinja2 `self` is the template's own blocks; the name is changed when the template is read.
_SELF: Final = "hitl_self"


def parse_jinja(template: str) -> Parsed:
    from jinja2 import TemplateSyntaxError, nodes

    try:
        tree = _environment().parse(template)
    except TemplateSyntaxError as error:
        line = _quoted_line(template, error.lineno)
        raise fault(f"{line} cannot be read: {error.message}") from None
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

    return Parsed(reads, rendered, frozenset(loose))


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


def _jinja_reads(tree: nodes.Template, stored: set[str], lines: list[str]) -> Iterator[Read]:
    """Every chain of names that starts at the top: `self.accuracy`, `inputs[0].loss`, `typo`."""
    from jinja2 import nodes

    def walk(node: nodes.Node, guarded: bool) -> Iterator[Read]:
        root, steps = _chain(node)
        if root is not None:
            if root in ROOTS or root not in stored | _GLOBALS:
                said = _expression(lines, node.lineno, root, steps)
                yield Read(said, root, steps, guarded, node.lineno)
            return
        softens = isinstance(node, nodes.Filter) and node.name in {"default", "d"}
        softens |= isinstance(node, nodes.Test) and node.name in {"defined", "undefined"}
        for child in node.iter_child_nodes():
            yield from walk(child, guarded or softens)

    return walk(tree, False)


def _chain(node: nodes.Node) -> tuple[str | None, tuple[str | int, ...]]:
    """`self.metrics["loss"]` as its root and steps; None if the node is no such chain."""
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
    return quoted(template)


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
    from jinja2 import StrictUndefined, Undefined, pass_environment
    from jinja2.exceptions import SecurityError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def hidden(name: str, value: Any) -> Any:
        return value if isinstance(value, Undefined) else hide_secrets.within(name, value)

    @pass_environment
    def attr(environment: SandboxedEnvironment, value: Any, name: str) -> Any:
        return environment.getattr(value, name)

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def is_safe_callable(self, obj: Any) -> bool:
            if getattr(obj, "__name__", "") in _PADDING:
                return False
            return obj is self.globals["range"] or isinstance(
                getattr(obj, "__self__", None), _PLAIN
            )

        def getattr(self, obj: Any, attribute: str) -> Any:
            return hidden(attribute, super().getattr(obj, attribute))

        def getitem(self, obj: Any, argument: Any) -> Any:
            return hidden(str(argument), super().getitem(obj, argument))

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
    environment.filters["attr"] = attr  # the one that takes an attribute by itself
    return environment


def _jinja_rendered(
    tree: nodes.Template,
    template: str,
    reads: Sequence[Read],
    scope: Scope,
    out: Callable[[Any], str],
) -> str:
    from jinja2 import Undefined

    def shown(value: Any) -> Any:
        return value if isinstance(value, Undefined) else out(value)

    environment = _environment().overlay(finalize=shown)
    text: list[str] = []
    try:
        view = view_of(scope)
        view[_SELF] = view.pop("self")
        for piece in environment.from_string(tree).generate(view):
            text.append(piece)
            if sum(map(len, text)) > LONGEST_MESSAGE:
                break
    except Exception as error:  # noqa: BLE001 - an artifact's own code, or a filter it does not fit
        raise _jinja_fault(template, reads, scope, error) from None
    return "".join(text)


def _jinja_fault(template: str, reads: Sequence[Read], scope: Scope, error: Exception) -> Faults:
    lineno = 1
    trace = error.__traceback__
    while trace is not None:
        # Jinja2 puts the template's own lines into the traceback under this name.
        if trace.tb_frame.f_code.co_filename == "<template>":
            lineno = trace.tb_lineno
        trace = trace.tb_next
    known = known_of(scope)
    here = [read for read in reads if read.line == lineno and not read.guarded]
    for says in (each for read in here for each in read_faults(read, known)):
        return fault(says)
    return fault(f"{_quoted_line(template, lineno)} fails: {reason(error)}")
