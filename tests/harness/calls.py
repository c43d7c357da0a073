"""Check the calls of some source against the signatures of the installed packages, unexecuted.

Names are resolved as far as imports, annotations of results and assignments lead; a call whose
callee stays unknown is counted, not checked. A running block cannot show what this finds: an
argument that ``**kwargs`` swallows, or a branch that is not taken.
"""

from __future__ import annotations

import ast
import builtins
import collections.abc
import contextlib
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import icechunk
import obstore
import virtualizarr
import xarray as xr
import zarr


@dataclass(frozen=True)
class Known:
    """An object that a name or an attribute stands for. ``bound``: without its first parameter."""

    value: Any
    bound: bool = False


@dataclass(frozen=True)
class Instance:
    """Some object of a class. ``entered``: what ``with`` gives is of that class, not it itself."""

    of: type
    entered: bool = False


WATCHED = ("virtualizarr", "icechunk", "xarray", "zarr", "obstore", "obspec_utils")
"""Packages whose ``**kwargs`` may take only documented keywords."""


class Local:
    """A function or class that the source itself defines: running it is check enough."""


Value = Known | Instance | Local | None
Names = dict[str, Value]

FALLBACK_NAMES = {"Dataset": xr.Dataset, "DataArray": xr.DataArray, "xr": xr, "icechunk": icechunk}
"""For annotations that only type checkers can resolve."""


@dataclass
class Report:
    """``problems`` are lines, ``checked`` the names of resolved callees, ``unknown`` a count."""

    problems: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    unknown: int = 0


@cache
def stub_keys(package: str, stub: str, dictionary: str) -> frozenset[str]:
    """Keys of a ``TypedDict`` that exists only in a package's stub files."""
    path = Path(importlib.import_module(package).__file__).parent / stub
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and node.name == dictionary:
            fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
            return frozenset(part.target.id for part in fields)
    raise LookupError(f"{path}: no {dictionary}")


def parameters(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def documented_keywords(function: Any) -> frozenset[str]:
    """Keywords that a function takes through ``**kwargs`` by its documentation."""
    store = obstore.store
    stubs = {
        store.S3Store: [("_store/_aws.pyi", "S3Config")],
        store.GCSStore: [("_store/_gcs.pyi", "GCSConfig")],
        store.AzureStore: [("_store/_azure.pyi", "AzureConfig")],
        store.from_url: [
            ("_store/_aws.pyi", "S3Config"),
            ("_store/_gcs.pyi", "GCSConfig"),
            ("_store/_azure.pyi", "AzureConfig"),
        ],
    }
    if function in stubs:
        return frozenset().union(*(stub_keys("obstore", *place) for place in stubs[function]))
    if function is virtualizarr.open_virtual_mfdataset:
        return parameters(virtualizarr.open_virtual_dataset)
    if function in (xr.open_dataset, xr.open_mfdataset, xr.open_datatree):
        engines = xr.backends.list_engines().values()
        accepted = [engine.open_dataset_parameters or () for engine in engines]
        return parameters(xr.open_dataset).union(*accepted)
    if function is xr.set_options:
        return frozenset(xr.get_options())
    if function in (zarr.open_array, zarr.open):
        return parameters(zarr.create) | {"mode"}  # `create` names it since zarr 3.4.2
    return frozenset()


_NAMES_OF_DATA = {
    "assign",
    "assign_attrs",
    "assign_coords",
    "broadcast_like",
    "chunk",
    "coarsen",
    "drop_isel",
    "drop_sel",
    "expand_dims",
    "interp",
    "isel",
    "pad",
    "reindex",
    "rename",
    "rename_dims",
    "rename_vars",
    "rolling",
    "sel",
    "shift",
    "stack",
    "swap_dims",
    "transpose",
}
"""Methods of xarray whose keywords are names of dimensions or variables."""


def check_calls(
    source: str, names: Names | None = None, local_modules: Collection[str] = ()
) -> tuple[Report, Names]:
    """Check a module, starting from the names that earlier modules left.

    ``local_modules`` are not installed, but files beside the source: not looked into.
    """
    walker = _Walker(dict(names or {}), local_modules)
    walker.run(ast.parse(source))
    return walker.report, walker.names


class _Walker:
    """Goes through statements in order, bodies of functions last (they may use later names)."""

    def __init__(self, names: Names, local_modules: Collection[str]) -> None:
        self.names = names
        self._local_modules = local_modules
        self.report = Report()
        self._later: list[Callable[[], None]] = []

    def run(self, module: ast.Module) -> None:
        self._body(module.body)
        while self._later:
            self._later.pop(0)()

    def _body(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:  # noqa: C901 (a branch for each statement)
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = self._import(node, alias.name)
                root = alias.name.partition(".")[0]
                self.names[alias.asname or root] = module if alias.asname else self._root(root)
        elif isinstance(node, ast.ImportFrom):
            self._import_from(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._function(node)
        elif isinstance(node, ast.ClassDef):
            self.names[node.name] = Local()
            self._body(node.body)
        elif isinstance(node, ast.Assign):
            value = self._value(node.value)
            for target in node.targets:
                self._bind(target, value)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            value = self._value(node.value) if node.value else None
            self._bind(node.target, value if isinstance(node, ast.AnnAssign) else None)
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                value = self._value(item.context_expr)
                if item.optional_vars is not None:
                    self._bind(item.optional_vars, _entered(value))
            self._body(node.body)
        elif isinstance(node, ast.For | ast.AsyncFor):
            self._value(node.iter)
            self._bind(node.target, None)
            self._body(node.body + node.orelse)
        elif isinstance(node, ast.If | ast.While):
            self._value(node.test)
            self._body(node.body + node.orelse)
        elif isinstance(node, ast.Try):
            self._body(node.body)
            for handler in node.handlers:
                if handler.type is not None:
                    self._value(handler.type)
                if handler.name:
                    self.names[handler.name] = None
                self._body(handler.body)
            self._body(node.orelse + node.finalbody)
        else:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self._value(child)
                elif isinstance(child, ast.stmt):
                    self._statement(child)

    def _root(self, name: str) -> Value:
        with contextlib.suppress(ImportError):
            return Known(importlib.import_module(name))
        return None

    def _import(self, node: ast.stmt, name: str) -> Value:
        if name in self._local_modules:
            return None
        try:
            return Known(importlib.import_module(name))
        except ImportError:
            self._problem(node, f"no module {name}")
            return None

    def _import_from(self, node: ast.ImportFrom) -> None:
        module = self._import(node, node.module or "")
        for alias in node.names:
            value: Value = None
            if module is not None:
                try:
                    value = Known(getattr(module.value, alias.name))
                except AttributeError:
                    with contextlib.suppress(ImportError):
                        value = Known(importlib.import_module(f"{node.module}.{alias.name}"))
                    if value is None:
                        self._problem(node, f"{node.module} has no {alias.name}")
            self.names[alias.asname or alias.name] = value

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.names[node.name] = Local()
        for expression in [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults]:
            if expression is not None:
                self._value(expression)

        def visit() -> None:
            outer = self.names
            arguments = node.args
            own = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            own += [one for one in (arguments.vararg, arguments.kwarg) if one]
            self.names = {**outer, **{one.arg: None for one in own}}
            self._body(node.body)
            self.names = outer

        self._later.append(visit)

    def _bind(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            for part in target.elts:
                self._bind(part, None)
        elif isinstance(target, ast.Starred):
            self._bind(target.value, None)
        else:
            self._value(target)

    def _value(self, node: ast.expr) -> Value:
        """What an expression stands for, after checking all calls inside it."""
        if isinstance(node, ast.Name):
            if node.id in self.names:
                return self.names[node.id]
            found = getattr(builtins, node.id, None)
            return None if found is None else Known(found)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, self._value(node.value))
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.NamedExpr):
            value = self._value(node.value)
            self._bind(node.target, value)
            return value
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
            self._comprehension(node)
            return None
        if isinstance(node, ast.Lambda):
            outer = self.names
            own = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            self.names = {**outer, **{one.arg: None for one in own}}
            self._value(node.body)
            self.names = outer
            return None
        if isinstance(node, ast.Constant):
            return Instance(type(node.value))
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._value(child)
        return Instance(str) if isinstance(node, ast.JoinedStr) else None

    def _comprehension(self, node: Any) -> None:
        outer = self.names
        self.names = dict(outer)
        for generator in node.generators:
            self._value(generator.iter)
            self._bind(generator.target, None)
            for condition in generator.ifs:
                self._value(condition)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for part in parts:
            self._value(part)
        self.names = outer

    def _attribute(self, node: ast.Attribute, base: Value) -> Value:
        name = node.attr
        if isinstance(base, Known):
            try:
                found = getattr(base.value, name)
            except AttributeError:
                if isinstance(base.value, types.ModuleType):
                    with contextlib.suppress(ImportError):
                        return Known(importlib.import_module(f"{base.value.__name__}.{name}"))
                if isinstance(base.value, types.ModuleType | type):
                    self._problem(node, f"{_name(base.value)} has no {name}")
                return None
            if isinstance(found, property) or inspect.isdatadescriptor(found):
                return None
            return Known(found)
        if isinstance(base, Instance) and not base.entered:
            return self._attribute_of_instance(node, base.of)
        return None

    def _attribute_of_instance(self, node: ast.Attribute, owner: type) -> Value:
        try:
            static = inspect.getattr_static(owner, node.attr)
        except AttributeError:
            if not _may_have(owner, node.attr):
                self._problem(node, f"{_name(owner)} has no {node.attr}")
            return None
        if isinstance(static, property):
            return _result(static.fget, owner) if static.fget else None
        found = getattr(owner, node.attr, None)
        if isinstance(found, type) and not isinstance(static, type):
            return Instance(found)  # an accessor: a class behind a descriptor
        if isinstance(static, classmethod | staticmethod):
            return Known(found)
        return Known(found, bound=True) if inspect.isroutine(static) else None

    def _call(self, node: ast.Call) -> Value:
        callee = self._value(node.func)
        for argument in node.args:
            self._value(argument.value if isinstance(argument, ast.Starred) else argument)
        for keyword in node.keywords:
            self._value(keyword.value)
        if isinstance(callee, Local):
            return None
        if not isinstance(callee, Known) or not callable(callee.value):
            self.report.unknown += 1
            return None
        self.report.checked.append(_name(callee.value))
        self._check_arguments(node, callee)
        if isinstance(callee.value, type):
            return Instance(callee.value)
        owner = getattr(callee.value, "__self__", None)
        return _result(callee.value, owner if isinstance(owner, type) else None)

    def _check_arguments(self, node: ast.Call, callee: Known) -> None:
        function = callee.value
        try:
            signature = inspect.signature(function)
        except (ValueError, TypeError):
            return  # compiled, without a signature
        given = list(signature.parameters.values())[1 if callee.bound else 0 :]
        kinds = {one.kind for one in given}
        takes = {
            one.name for one in given if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        }
        keywords = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
        swallows = inspect.Parameter.VAR_KEYWORD in kinds
        for keyword in keywords:
            if keyword in takes:
                continue
            if not swallows:
                self._problem(node, f"{_name(function)} takes no {keyword}")
            elif not _is_documented(function, keyword):
                self._problem(node, f"{_name(function)} swallows {keyword}, which is undocumented")
        starred = any(isinstance(argument, ast.Starred) for argument in node.args)
        if starred or any(keyword.arg is None for keyword in node.keywords):
            return
        if any(keyword not in takes for keyword in keywords) and not swallows:
            return  # said already
        try:
            signature.replace(parameters=given).bind(
                *[None] * len(node.args), **dict.fromkeys(keywords)
            )
        except TypeError as error:
            self._problem(node, f"{_name(function)}: {error}")

    def _problem(self, node: ast.AST, text: str) -> None:
        line = f"line {node.lineno}: {text}"
        if line not in self.report.problems:
            self.report.problems.append(line)


def _name(value: Any) -> str:
    return getattr(value, "__qualname__", None) or getattr(value, "__name__", repr(value))


def _is_documented(function: Any, keyword: str) -> bool:
    if keyword in documented_keywords(function):
        return True
    module = getattr(function, "__module__", None) or ""
    if module.startswith("xarray") and getattr(function, "__name__", "") in _NAMES_OF_DATA:
        return True
    return not module.startswith(WATCHED)


def _may_have(owner: type, name: str) -> bool:
    """Instances may have more attributes than their class: made up, or set when initialised."""
    if issubclass(owner, types.ModuleType):
        return True  # some module, of which only the type is known
    if owner is super:
        return True  # stands for a class that only a run knows
    if not owner.__module__.startswith((*WATCHED, "builtins")):
        return True  # compiled icechunk classes say "builtins"
    if any("__getattr__" in vars(base) for base in owner.__mro__):
        return True
    if any(name in getattr(base, "__annotations__", {}) for base in owner.__mro__):
        return True
    with contextlib.suppress(OSError, TypeError):
        return f"self.{name}" in inspect.getsource(owner)
    return False


def _result(function: Any, owner: type | None) -> Value:
    """What a call gives, by the annotation of the function."""
    function = inspect.unwrap(function) if inspect.isfunction(function) else function
    if inspect.ismethod(function):
        owner = function.__self__ if isinstance(function.__self__, type) else owner
        function = function.__func__
    annotation = getattr(function, "__annotations__", {}).get("return")
    if isinstance(annotation, str):
        space = {**FALLBACK_NAMES, **getattr(function, "__globals__", {})}
        try:
            annotation = eval(annotation.strip("'\""), space)
        except Exception:
            return None
    return _of_annotation(annotation, owner)


def _of_annotation(annotation: Any, owner: type | None) -> Value:
    if annotation is typing.Self and owner is not None:
        return Instance(owner)
    origin = typing.get_origin(annotation)
    if origin in (collections.abc.Iterator, collections.abc.Generator):
        first = _of_annotation(typing.get_args(annotation)[0], owner)
        return Instance(first.of, entered=True) if isinstance(first, Instance) else None
    if isinstance(annotation, type) and annotation not in (object, type(None)):
        return Instance(annotation)
    return None


def _entered(value: Value) -> Value:
    """What ``with`` binds: the yielded object, or the object itself for classes that say so."""
    if not isinstance(value, Instance):
        return None
    if value.entered:
        return Instance(value.of)
    enter = getattr(value.of, "__enter__", None)
    if enter is None:
        return None
    result = _result(enter, value.of)
    return result or Instance(value.of)
