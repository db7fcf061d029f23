"""The slots of a torch module: which operators of its real forward read which of its tensors, and what flows between.

Seen below the modules, by the dispatcher: a parameter that no leaf module owns (class token, position table, factor)
is a slot like any other, and so is a projection that attention calls without its module.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from netlathe.errors import NetlatheError
from netlathe.lower.align import Flow, Reads, Slot

aten = torch.ops.aten

# What moves numbers without changing them, beside views.
MOVES = {aten.clone, aten._unsafe_view, aten._to_copy, aten.contiguous}

# conv1.weight, bn1.running_mean and attention.in_proj_bias belong to an operator; any other name is one of its own.
ROLES = ("weight", "bias", "running_mean", "running_var")
OWNED = re.compile(rf"(.*?)[._]?({'|'.join(ROLES)})")


class WeightTracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While a forward runs under it, notes the slots that every tensor comes from."""

    def __init__(self, module: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flow = Flow()
        self.entered: dict[str, Reads] = {}
        self.reads: MutableMapping[torch.Tensor, Reads] = WeakIdKeyDictionary()  # of values
        self.owners: MutableMapping[torch.Tensor, tuple[str, ...]] = WeakIdKeyDictionary()  # of what weights alone make
        self.made: MutableMapping[torch.Tensor, tuple[str, bool]] = WeakIdKeyDictionary()  # see `follow`
        self.effective = named_weights(module)  # by name, as the forward uses them
        self.tensors: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {}
        for x in inputs:
            self.reads[x] = {}
        for name, tensor in self.effective.items():
            path, role = owner(name)
            self.tensors.setdefault(path, {})[role] = (name, tuple(tensor.shape))
            self.owners[tensor] = (path,)
            self.made[tensor] = (name, True)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        y = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        values = [x for x in tensors if x in self.reads]
        owners = dict.fromkeys(path for x in tensors for path in self.owners.get(x, ()))
        if values:
            starts = start_offsets(func, args, tensors)
            reads = self.flow.join(zip(starts, (self.reads.get(x, {}) for x in tensors), strict=False))
            for path in owners:
                reads = self.enter(path, reads)
        for result in tree_leaves(y):
            if isinstance(result, torch.Tensor) and values:
                self.reads[result] = reads
            elif isinstance(result, torch.Tensor) and owners:
                self.owners[result] = tuple(owners)
                self.follow(func, [self.made[x] for x in tensors if x in self.made], result)
        return y

    def follow(self, func: Any, sources: Sequence[tuple[str, bool]], result: torch.Tensor) -> None:
        """Where a kernel is computed before use (standardised, say), what it becomes is the kernel of a plain layer.

        The result counts once it has the shape of the kernel again; views after that, such as a transpose, do not.
        """
        if len({name for name, _ in sources}) != 1:
            return
        name, shape = sources[0][0], self.effective[sources[0][0]].shape
        settled = (func.is_view or func.overloadpacket in MOVES) and all(steady for _, steady in sources)
        if not settled and len(shape) > 1 and result.shape == shape:
            self.effective[name] = result
            settled = True
        self.made[result] = (name, settled)

    def enter(self, path: str, reads: Reads) -> Reads:
        """What a value reads once the tensors of a slot took part; they may do so in several operators."""
        if path not in self.entered:
            self.entered[path] = self.flow.slot(path, self.tensors[path], reads)
            return self.entered[path]
        return self.flow.join([(0, reads), (0, self.entered[path])])


def start_offsets(func: Any, args: Sequence[Any], tensors: Sequence[torch.Tensor]) -> list[int]:
    """Where each tensor starts in a concatenation; zeros for every other operator."""
    if func.overloadpacket is not aten.cat:
        return [0] * len(tensors)
    axis = args[1] if len(args) > 1 else 0
    return list(accumulate((x.shape[axis] for x in tensors), initial=0))


def owner(name: str) -> tuple[str, str]:
    """The path of the slot that a tensor of that name belongs to, and its role there."""
    match = OWNED.fullmatch(name)
    return (match[1], match[2]) if match else (name, "")


def named_weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The tensors that are weights: parameters, statistics, frozen weights; no index tables, masks and counters."""
    buffers = {name: buffer for name, buffer in module.named_buffers() if name.rpartition(".")[2] in ROLES}
    return {**dict(module.named_parameters()), **buffers}


class WeightTrace(NamedTuple):
    """The slots of a module in order of execution, its weights by name as the forward uses them, its output.

    The last slot in use has no tensors and reads the output; slots that the forward does not use follow.
    """

    slots: list[Slot]
    weights: dict[str, torch.Tensor]
    output: torch.Tensor


def trace_weights(module: torch.nn.Module, *inputs: torch.Tensor) -> WeightTrace:
    """One forward at inference.

    Slots without use in the forward come last and read nothing. Raises NetlatheError where the forward fails.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it would hide attention in one operator
    mode = WeightTracer(module, inputs)
    try:
        with torch.no_grad(), mode:
            y = module(*inputs)
    except Exception as error:
        shapes = ", ".join("x".join(map(str, x.shape)) for x in inputs)
        lines = str(error).strip().splitlines()
        raise NetlatheError(
            f"the forward of {type(module).__name__} fails on {shapes}: {lines[0] if lines else type(error).__name__}",
            code="weights.forward",
            hint="position embeddings fix the resolution: give the network the one of the weights",
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    if not isinstance(y, torch.Tensor):
        raise NetlatheError(
            f"the forward of {type(module).__name__} gives a {type(y).__name__}, but one tensor is needed",
            code="weights.forward",
        )
    mode.flow.slot("", {}, mode.reads.get(y, {}))
    unused = [Slot(path, tensors, {}) for path, tensors in mode.tensors.items() if path not in mode.entered]
    return WeightTrace([*mode.flow.slots, *unused], mode.effective, y)
