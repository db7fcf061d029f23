"""arch.json: an architecture as a document that programs exchange. Reading reports all its faults, with paths."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, cast, get_type_hints

from netlathe.arch.combinators import Named
from netlathe.arch.graph import refuse_endless
from netlathe.arch.kinds import built_in_kinds
from netlathe.arch.network import Network
from netlathe.arch.node import Node
from netlathe.arch.own_leaves import FILES, OWN, registered, run_leaf_files
from netlathe.arch.rewrite import walk
from netlathe.documents.faults import SHOWN, Fault, faults_error
from netlathe.documents.json import parse_json
from netlathe.errors import NetlatheError, nearest

SCHEMA = "netlathe.arch/1"
DEEPEST = 100  # nodes within nodes; the deepest network of the zoo, U-Net, has 16


def node_kinds() -> dict[str, type[Node]]:
    """Every concrete node by the name that documents use, those that somebody registered included."""
    return built_in_kinds() | {kind: own.leaf for kind, own in OWN.items()}


def to_json(network: Network, *, indent: int | None = 1) -> str:
    """The document of a network; fields at their default are left out."""
    document = {
        "schema": SCHEMA,
        "name": network.name,
        "input": list(network.input),
        **({"more": [list(shape) for shape in network.more]} if network.more else {}),
        "body": encode(network.body),
        **({"leaves": own} if (own := leaf_sources(network.body)) else {}),
    }
    return json.dumps(document, indent=indent) + "\n"


def leaf_sources(body: Node) -> dict[str, str]:
    """By kind: the files or modules of leaves that are not the package's."""
    if not OWN:
        return {}
    owns = {own.leaf.label: own.source for _, node in walk(body) if (own := registered(node)) is not None}
    return dict(sorted(owns.items()))


def encode(value: Any) -> Any:
    """A node or a field as JSON."""
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if not isinstance(value, Node):
        return value
    defaults = {f.name: f.default for f in fields(value)}  # type: ignore[arg-type]
    entries = {name: encode(field) for name, field in value.fields().items() if field != defaults[name]}
    if isinstance(value, Named):  # names and items are one list of named nodes in the document
        names = entries.pop("names")
        entries["items"] = [
            ({"name": name} if name else {}) | item for name, item in zip(names, entries["items"], strict=True)
        ]
    return {"kind": value.label} | entries


def from_json(text: str, *, source: str = "arch.json") -> Network:
    """The network of a document. Raises one NetlatheError that lists every fault with its path in the document."""
    document = parse_json(text, source=source, code="arch.syntax", what="a network")
    reader = Reader()
    network = reader.network(document)
    if reader.faults or network is None:
        hint = "`netlathe arch resnet18 --json` prints a document that is right"
        raise faults_error(reader.faults, code="arch.invalid", path=source, hint=hint, note="; nothing was run")
    return network


class Reader:
    """Decodes a document and gathers its faults instead of stopping at the first."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.kinds: dict[str, type[Node]] = node_kinds()
        self.sources: dict[str, str] = {}  # of leaves, by kind, as the document says

    def fault(self, path: str, message: str, legal: Any = (), text: str = "") -> None:
        """Note a fault, with the nearest legal word where it will be shown."""
        close = nearest(text, legal) if len(self.faults) < SHOWN else []
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        self.faults.append(Fault(path or "document", message + hint))

    def network(self, document: Any) -> Network | None:
        if not isinstance(document, dict):
            self.fault("", f"must be an object, not {type(document).__name__}")
            return None
        legal = ("schema", "name", "input", "more", "body", "leaves")
        for key in document.keys() - set(legal):
            self.fault(key, "unknown field", legal, key)
        if document.get("schema") != SCHEMA:
            self.fault("schema", f"must be {SCHEMA!r}, not {document.get('schema')!r}")
        name, shape, more = document.get("name"), document.get("input"), document.get("more", [])
        if not isinstance(name, str) or not name or not name.isprintable():
            self.fault("name", f"must be one line of text, not {name!r:.40}")
        if not is_shape(shape):
            self.fault("input", f"must be sizes such as [channels, height, width], not {shape!r}")
        if not isinstance(more, list) or not all(map(is_shape, more)):
            self.fault("more", f"must be a list of further inputs, each a list of sizes, not {more!r}")
        sources = document.get("leaves", {})
        if isinstance(sources, dict) and all(isinstance(source, str) for source in sources.values()):
            self.sources = sources
        else:
            self.fault("leaves", f"must say by kind where leaves come from, not {sources!r:.40}")
        if self.sources.keys() - self.kinds.keys():
            run_leaf_files()
            self.kinds = node_kinds()
        if "body" not in document:
            self.fault("body", "is missing")
        body = self.value(document.get("body", {"kind": "identity"}), "body")
        if not isinstance(document.get("body", {}), dict):
            self.fault("body", "must be a node, an object with a kind")
        if self.faults or not isinstance(body, Node):
            return None
        return Network(str(name), body, tuple(shape or ()), tuple(map(tuple, more)))

    def value(self, value: Any, path: str) -> Any:
        """A field: objects are nodes, lists are tuples."""
        if path.count(".") > DEEPEST or path.count("[") > DEEPEST:
            self.fault(path[:60] + " ...", f"nodes are nested more than {DEEPEST} deep")
            return None
        if isinstance(value, list):
            return tuple(self.value(item, f"{path}[{i}]") for i, item in enumerate(value))
        return self.node(value, path) if isinstance(value, dict) else value

    def node(self, document: dict[str, Any], path: str) -> Node | None:
        """The node an object describes; None after a fault."""
        kind = document.get("kind")
        if isinstance(kind, str) and (missing := self.missing_leaf(kind)):
            self.fault(path, missing)
            return None
        if not isinstance(kind, str) or kind not in self.kinds:
            message = "kind is missing" if kind is None else f"unknown kind {kind!r}"
            self.fault(path, message, self.kinds, str(kind))
            return None
        cls = self.kinds[kind]
        fields = {key: value for key, value in document.items() if key != "kind"}
        if issubclass(cls, Named) and isinstance(fields.get("items"), list):
            fields["names"] = [item.pop("name", "") if isinstance(item, dict) else "" for item in fields["items"]]
        before = len(self.faults)
        values, sound = {}, set()
        for key, value in fields.items():
            count = len(self.faults)
            values[key] = self.value(value, f"{path}.{key}")
            if len(self.faults) == count:  # a fault inside is not reported a second time by its parent
                sound.add(key)
        self.check(cls, values, sound, path)
        if len(self.faults) > before:
            return None
        try:
            node = cls(**values)
            refuse_endless(node)
        except ValueError as error:
            self.fault(path, error.message if isinstance(error, NetlatheError) else str(error))
            return None
        return node

    def missing_leaf(self, kind: str) -> str:
        """Why a leaf that is not the package's cannot be had; empty for others."""
        source = self.sources.get(kind)
        if source is None or kind in built_in_kinds() or (kind in OWN and OWN[kind].source == source):
            return ""
        file, other = source.rpartition(":")[0], f" (only {OWN[kind].source} has)" if kind in OWN else ""
        missing = f"the kind {kind!r} is a leaf of {source}, which has not been run{other}"
        return f"{missing}: where you trust it, {FILES}={file} runs it"

    def check(self, cls: type[Node], values: dict[str, Any], sound: set[str], path: str) -> None:
        """Names and types of the fields of a node."""
        legal = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
        for key in values.keys() - legal.keys():
            self.fault(f"{path}.{key}", f"{cls.label} has no such field", legal, key)
        for key, field in legal.items():
            if key not in values:
                if field.default is MISSING:
                    self.fault(f"{path}.{key}", "is missing")
            elif key in sound:
                wrong = mismatch(cls, key, values[key])
                if wrong:
                    self.fault(f"{path}.{key}", wrong)


def is_shape(value: Any) -> bool:
    """One to three positive whole numbers."""
    return isinstance(value, list) and 1 <= len(value) <= 3 and all(type(n) is int and n > 0 for n in value)


def mismatch(cls: type[Node], key: str, value: Any) -> str:
    """Why a value does not fit the declared type of a field; empty if it does."""
    from pydantic import ValidationError

    try:
        field_validator(cast(Any, cls), key).validate_python(value, strict=True)
    except ValidationError as error:
        what = f"a {value.label} node" if isinstance(value, Node) else repr(value)
        return f"{what:.60} does not fit: {error.errors()[0]['msg'].lower()}"
    return ""


@cache
def field_validator(cls: Any, key: str) -> Any:
    """The pydantic validator of a field."""
    from pydantic import ConfigDict, TypeAdapter

    hint = get_type_hints(cls)[key]
    return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
