"""A PowerShell script as a grammar reads it, and what is wrong with it for Windows PowerShell 4.0.

No PowerShell can be had for the tests and Hyper-V cannot exist here, so the scripts are not run: they are
parsed (by tree-sitter's grammar), and every call in the parse tree is held against powershell-4.0.tsv.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

TABLE = Path(__file__).with_name("powershell-4.0.tsv")
GRAMMAR = Language(tree_sitter_powershell.language())
COMMON = {"Verbose", "Debug", "ErrorAction", "WarningAction", "WhatIf", "Confirm"}
NEWER = {"class_statement": "class", "enum_statement": "enum", "pipeline_chain_tail": "&& or ||"}
"""Syntax that the grammar knows and 4.0 does not; what the grammar does not know is an error anyway."""
GUARD = "Test-Parameter"
GIVEN = """_ true false null pscmdlet psscriptroot erroractionpreference confirmpreference matches
lastexitcode executioncontext""".split()  # noqa: SIM905
"""Variables that PowerShell itself sets."""


@dataclass(frozen=True)
class Cmdlet:
    """One row of the table."""

    name: str
    module: str
    changes: bool
    sets: tuple[frozenset[str], ...]
    newer: frozenset[str]

    @property
    def parameters(self) -> frozenset[str]:
        """All that it has, in whatever set."""
        return frozenset().union(*self.sets)


def read_table() -> dict[str, Cmdlet]:
    """Return the cmdlets that a script may use, by name."""
    found = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, module, changes, parameters, newer = line.split("\t")
            sets = tuple(frozenset(part.split()) for part in parameters.split(" | "))
            found[name] = Cmdlet(name, module, changes == "yes", sets, frozenset(newer.split()))
    return found


@dataclass(frozen=True)
class Call:
    """One call of a command: its name, its parameters by name, and how many values stand by their place."""

    name: str
    parameters: tuple[str, ...]
    values: int
    node: Node


def walk(node: Node) -> Iterator[Node]:
    """Give a node and everything in it, as written."""
    yield node
    for child in node.children:
        yield from walk(child)


def above(node: Node) -> Iterator[Node]:
    """Give what a node is in, from the inside."""
    while node.parent is not None:
        node = node.parent
        yield node


def words(node: Node) -> str:
    """Return the text of a node."""
    assert node.text is not None
    return node.text.decode()


@dataclass(frozen=True)
class Script:
    """A script, by its bytes."""

    raw: bytes

    @cached_property
    def root(self) -> Node:
        """The parse tree."""
        return Parser(GRAMMAR).parse(self.raw.removeprefix(b"\xef\xbb\xbf")).root_node

    @cached_property
    def functions(self) -> dict[str, Node]:
        """Name -> node of every function."""
        found = {}
        for node in walk(self.root):
            if node.type == "function_statement":
                found[words(next(part for part in node.children if part.type == "function_name"))] = node
        return found

    @cached_property
    def calls(self) -> list[Call]:
        """Every call of a command that is named (not `& $variable`)."""
        return [call for node in walk(self.root) if (call := read_call(node)) is not None]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Name -> declaration of every parameter of the script itself."""
        block = next(node for node in self.root.children if node.type == "param_block")
        return {declared_name(node): words(node) for node in walk(block) if node.type == "script_parameter"}

    @property
    def aliases(self) -> dict[str, str]:
        """Alias -> parameter."""
        return {
            alias: name
            for name, text in self.parameters.items()
            for alias in re.findall(r"\[Alias\('(\w+)'\)\]", text)
        }

    def hash_keys(self, variable: str) -> set[str]:
        """Return the keys of the first table `@{ ... }` that a variable gets, not of those inside it."""
        for node in walk(self.root):
            if node.type == "assignment_expression" and words(node.children[0]) == f"${variable}":
                bodies = [part for part in walk(node) if part.type == "hash_literal_body"]
                if bodies:
                    return keys_of(bodies[0])
        raise AssertionError(f"${variable} gets no table")

    def function_of(self, node: Node) -> str | None:
        """Return the function that a node is in."""
        for outer in above(node):
            if outer.type == "function_statement":
                return next(name for name, function in self.functions.items() if function == outer)
        return None


def keys_of(body: Node) -> set[str]:
    """Return the keys of one table."""
    return {words(entry.children[0]).strip("'") for entry in body.children if entry.type == "hash_entry"}


def declared_name(parameter: Node) -> str:
    """Return the name of a declared parameter."""
    return words(next(node for node in parameter.children if node.type == "variable")).removeprefix("$")


def read_call(node: Node) -> Call | None:
    """Return a node as a call, if it is one of a command by name."""
    if node.type != "command" or node.children[0].type != "command_name":
        return None
    parameters, values, expected = [], 0, False
    for part in node.children[1:]:
        for element in part.children if part.type == "command_elements" else [part]:
            if element.type == "command_argument_sep":
                # A comma makes one value of two.
                if words(element).strip() == ",":
                    values, expected = values - (not expected), True
                continue
            if element.type == "command_parameter":
                parameters.append(words(element).removeprefix("-"))
                expected = True
                continue
            values += not expected
            expected = False
    return Call(words(node.children[0]).split("\\")[-1], tuple(parameters), values, node)


def guards(node: Node) -> Iterator[tuple[Node, Node]]:
    """Give (condition, block) of every `if` whose first block a node is in."""
    inner = node
    for outer in above(node):
        if outer.type == "if_statement":
            condition = outer.child_by_field_name("condition") or next(
                part for part in outer.children if part.type == "pipeline"
            )
            block = next(part for part in outer.children if part.type == "statement_block")
            if block == inner:
                yield condition, block
        inner = outer


def is_confirmed(node: Node) -> bool:
    """Whether a node runs only when ShouldProcess says yes."""
    return any(words(condition).startswith("$PSCmdlet.ShouldProcess(") for condition, _ in guards(node))


def find_faults(raw: bytes) -> list[str]:
    """Return what is wrong with a script, as lines; none when all is well."""
    script = Script(raw)
    return [
        *faults_of_bytes(raw),
        *faults_of_syntax(script),
        *(fault for call in script.calls for fault in faults_of_call(script, call)),
        *faults_of_variables(script),
        *faults_of_order(script),
    ]


def faults_of_bytes(raw: bytes) -> Iterator[str]:
    """Windows PowerShell reads a file without a byte order mark in the host's own code page."""
    if not raw.isascii() and not raw.startswith(b"\xef\xbb\xbf"):
        yield "letters beyond ASCII without a byte order mark"
    if raw.count(b"\n") != raw.count(b"\r\n"):
        yield "lines that do not end with CR LF"
    raw.decode()


def faults_of_syntax(script: Script) -> Iterator[str]:
    """What the grammar does not know, and what it knows of later versions."""
    for node in walk(script.root):
        line = node.start_point.row + 1
        if node.type == "ERROR" or node.is_missing:
            yield f"line {line}: no PowerShell: {words(node)[:40]!r}"
        elif node.type in NEWER:
            yield f"line {line}: {NEWER[node.type]} is newer than 4.0"
        elif node.type == "invokation_expression" and "]::new(" in words(node):
            yield f"line {line}: ::new() is newer than 4.0"


def faults_of_call(script: Script, call: Call) -> Iterator[str]:
    """A command that is not there, a parameter that it has not, or the wrong number of values."""
    line = call.node.start_point.row + 1
    if call.name in script.functions:
        declared = [
            declared_name(node)
            for part in script.functions[call.name].children
            if part.type == "function_parameter_declaration"
            for node in walk(part)
            if node.type == "script_parameter"
        ]
        given = call.values + len(call.parameters)
        if given != len(declared) or not set(call.parameters) <= set(declared):
            yield f"line {line}: {call.name} takes {len(declared)} values, and gets {given}"
        return
    cmdlet = read_table().get(call.name)
    if cmdlet is None:
        yield f"line {line}: {call.name} is no cmdlet of Windows Server 2012 R2 that the table has"
        return
    for name in set(call.parameters) - cmdlet.parameters - COMMON:
        if name not in cmdlet.newer:
            yield f"line {line}: {call.name} has no -{name} on Windows Server 2012 R2"
        elif not any(
            words(condition) == f"{GUARD} '{call.name}' '{name}'" for condition, _ in guards(call.node)
        ):
            yield f"line {line}: {call.name} -{name} is newer, and is not asked for first"
    together = set(call.parameters) - COMMON - cmdlet.newer
    if together <= cmdlet.parameters and not any(together <= allowed for allowed in cmdlet.sets):
        yield f"line {line}: {call.name} takes no {' with '.join(sorted(together))}"


def faults_of_variables(script: Script) -> Iterator[str]:
    """A variable that neither script nor function gives a value: under Set-StrictMode the run ends there."""
    known: dict[str | None, set[str]] = {None: set(GIVEN)}
    for node in walk(script.root):
        if node.type == "script_parameter":
            names = [declared_name(node)]
        elif node.type == "left_assignment_expression":
            names = [words(part) for part in walk(node) if part.type == "variable"][:1]
        elif node.type == "foreach_statement":
            names = [words(part) for part in node.children if part.type == "variable"]
        else:
            continue
        known.setdefault(script.function_of(node), set()).update(map(plain, names))
    for node in walk(script.root):
        if node.type == "variable":
            function = script.function_of(node)
            if plain(words(node)) not in known[None] | known.get(function, set()):
                yield f"line {node.start_point.row + 1}: {words(node)} has no value here"


def plain(variable: str) -> str:
    """Return the name of a variable as PowerShell compares it."""
    return variable.strip("${}").lower()


def faults_of_order(script: Script) -> Iterator[str]:
    """What changes something runs only after ShouldProcess, whichever way it is reached."""
    table = read_table()
    reached, waiting = {None}, [None]
    while waiting:
        function = waiting.pop()
        for call in script.calls:
            if script.function_of(call.node) == function and not is_confirmed(call.node):
                if call.name in script.functions and call.name not in reached:
                    reached.add(call.name)
                    waiting.append(call.name)
                cmdlet = table.get(call.name)
                if cmdlet is not None and cmdlet.changes and call.name != "ForEach-Object":
                    yield f"line {call.node.start_point.row + 1}: {call.name} without ShouldProcess"
    for node in walk(script.root):
        written = node.type == "invokation_expression" and "]::WriteAll" in words(node)
        if written and script.function_of(node) in reached and not is_confirmed(node):
            yield f"line {node.start_point.row + 1}: a file is written without ShouldProcess"
