"""What the table of networks rests on: fusion rules and features. A table of another definition is stale.

A runtime finds its column by its rules, not by its name, so that a runtime of a user's file that fuses like another has
one too, and rules that changed have none. That the features themselves changed is for a test to see: `fingerprint`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter

from netlathe import zoo
from netlathe.arch.graph import Graph
from netlathe.cost.count import count
from netlathe.device.features import fused
from netlathe.runtimes.fusion import Fusion
from netlathe.runtimes.registry import RUNTIMES

GroupKey = tuple[str, int, int, int, int, int]  # class, macs, read, write, weights, calls
# Networks with every kind of operator, small.
REFERENCES = ("mobilenetv3_small", "resnext50_32x4d", "densenet121", "convnext_atto", "vit_tiny_patch16", "swin_tiny")


def rule_id(rule: Fusion) -> str:
    """The rules as text, without their source: equal where two runtimes fuse alike."""
    fields = {name: value for name, value in rule._asdict().items() if name != "source"}
    return json.dumps(fields, sort_keys=True, default=sorted)  # of sets


def rules() -> dict[str, Fusion]:
    """The fusion rules of all runtimes by their text, each once."""
    return {rule_id(runtime.fusion): runtime.fusion for runtime in RUNTIMES.values()}


def group_counts(graph: Graph, rule: Fusion) -> Counter[GroupKey]:
    """The distinct groups of a graph under a rule, and how often each runs."""
    return Counter((g.class_, g.macs, g.read, g.write, g.weights, g.calls) for g in fused(graph, rule))


def fingerprint() -> str:
    """A hash of the features and costs of a few networks under all rules: it changes where a definition does."""
    digest = hashlib.sha256()
    for name in REFERENCES:
        graph = zoo.get(name).graph()
        content = [count(graph), *(sorted(group_counts(graph, rule).items()) for rule in rules().values())]
        digest.update(repr(content).encode())
    return digest.hexdigest()[:16]
