"""Chains of operators that optimisers of graphs put together: GELU, SiLU, layer norms, scaled products, biases.

An island is a set of element-wise operators that all start from one value and leave one: whatever is written inside
(GELU is a division, an error function, a sum and two products in an exported file), it is one function of that value.
"""

from __future__ import annotations

from math import prod

from netlathe.arch.graph import Graph, Op

SEEDS = {"map.erf": "gelu", "act.tanh": "gelu", "act.sigmoid": "silu", "act.softplus": "mish"}
ELEMENTWISE = frozenset({"act", "map", "add", "mul"})
REACH = 12  # operators behind the seed of an island that may belong to it
ROOTS = frozenset({"sqrt", "rsqrt", "pow", "reciprocal"})


class Uses:
    """Who makes and who reads the values of a list of operators, by place in it."""

    def __init__(self, graph: Graph) -> None:
        self.ops = list(graph.ops)
        self.maker = {op.output: i for i, op in enumerate(self.ops)}
        self.readers: dict[int, list[int]] = {}
        for i, op in enumerate(self.ops):
            for value in set(op.inputs):
                self.readers.setdefault(value, []).append(i)
        self.outputs = set(graph.outputs)
        self.gone: set[int] = set()  # places of operators that others stand for
        self.same: dict[int, int] = {}

    def only_reader(self, value: int) -> int | None:
        """The place of the one operator that reads a value, views of it aside."""
        while True:
            places = self.readers.get(value, ())
            if value in self.outputs or len(places) != 1:
                return None
            if not self.ops[places[0]].view:
                return places[0]
            value = self.ops[places[0]].output

    def maker_of(self, value: int) -> int | None:
        """The place of the operator that makes a value, or that it is a view of."""
        place = self.maker.get(value)
        while place is not None and self.ops[place].view:
            place = self.maker.get(self.ops[place].inputs[0])
        return place

    def put(self, members: list[int], op: Op) -> None:
        """One operator in place of several: the last of them, whose result it makes."""
        self.gone.update(members[:-1])
        self.gone.discard(members[-1])
        self.ops[members[-1]] = op

    def drop(self, place: int) -> None:
        """Leave an operator of one input out."""
        self.gone.add(place)
        self.same[self.ops[place].output] = self.ops[place].inputs[0]

    def graph(self, before: Graph) -> Graph:
        """What is left."""

        def now(value: int) -> int:
            while value in self.same:
                value = self.same[value]
            return value

        kept = [op for i, op in enumerate(self.ops) if i not in self.gone]
        ops = tuple(op._replace(inputs=tuple(map(now, op.inputs))) for op in kept)
        return before._replace(ops=ops, outputs=tuple(map(now, before.outputs)))


def fold_islands(graph: Graph) -> Graph:
    """The graph with every known chain as one operator."""
    uses = Uses(graph)
    for i, op in enumerate(graph.ops):
        if i in uses.gone or op.view or not op.inputs:
            continue
        name = f"{op.kind}.{op.form}"
        if name in SEEDS:
            fold_activation(uses, i, SEEDS[name])
        elif op.kind == "reduce" and op.form in ("mean", "reducemean"):
            fold_norm(uses, i)
        elif name == "norm.instance":
            affine(uses, i, op._replace(form="group"), [i])
    for i, op in enumerate(uses.ops):
        if i not in uses.gone and not op.view and len(set(op.inputs)) == 1:
            fold_into_product(uses, i)
    return uses.graph(graph)


def fold_activation(uses: Uses, seed: int, form: str) -> None:
    """An activation that is written in parts."""
    for source in sources(uses, seed):
        members = island(uses, source, seed, ELEMENTWISE)
        if members:
            tail = uses.only_reader(uses.ops[members[-1]].output)
            if form == "gelu" and tail is not None and is_scale(uses.ops[tail]):
                members.append(tail)
            first, last = uses.ops[members[0]], uses.ops[members[-1]]
            shapes = (first.in_shapes[first.inputs.index(source)],)
            uses.put(members, last._replace(kind="act", form=form, inputs=(source,), in_shapes=shapes))
            return


def fold_norm(uses: Uses, seed: int) -> None:
    """A layer norm or a norm by the root of mean squares that is written in parts."""
    for source in sources(uses, seed):
        members = island(uses, source, seed, ELEMENTWISE | {"reduce"}, ROOTS)
        if members:
            forms = {uses.ops[i].form for i in members}
            first, last = uses.ops[members[0]], uses.ops[members[-1]]
            shapes = (first.in_shapes[first.inputs.index(source)],)
            form = "layer" if "sub" in forms else "rms"
            whole = last._replace(kind="norm", form=form, inputs=(source,), in_shapes=shapes)
            affine(uses, members[-1], whole, members)
            return


def affine(uses: Uses, last: int, op: Op, members: list[int]) -> None:
    """A norm with the trained scale and shift that come behind it."""
    weights = dict(op.weights)
    for kind in ("mul", "add"):
        tail = uses.only_reader(uses.ops[members[-1]].output)
        if tail is None or uses.ops[tail].kind != kind or not is_affine(uses.ops[tail]):
            break
        weights |= {f"{kind}.{name}": shape for name, shape in uses.ops[tail].weights.items()}
        members.append(tail)
    whole = uses.ops[members[-1]]
    uses.put(members, op._replace(output=whole.output, out_shape=whole.out_shape, weights=weights))


def sources(uses: Uses, seed: int) -> list[int]:
    """Values that an island around the seed may start from, the nearest first."""
    values = [uses.ops[seed].inputs[0]]
    while len(values) < REACH:
        place = uses.maker.get(values[-1])
        if place is None or uses.ops[place].kind not in ELEMENTWISE or uses.ops[place].params > 1:
            break
        if not uses.ops[place].inputs:
            break
        values.append(min(uses.ops[place].inputs))
    return values


def island(uses: Uses, source: int, seed: int, kinds: frozenset[str], needs: frozenset[str] = frozenset()) -> list[int]:
    """The places of the least set of operators from `source` through `seed` that leaves one value, of the same size,
    in which two ways meet; empty where there is none. `needs`: forms of which one has to be among them."""
    size = next((prod(s) for v, s in zip(uses.ops[seed].inputs, uses.ops[seed].in_shapes, strict=True)), 0)
    place = uses.maker.get(source)
    if place is not None:
        size = uses.ops[place].out_elements
    members: list[int] = []
    inside = {source}
    met = False
    first = min(uses.readers.get(source, [seed]))
    for i in range(first, min(seed + REACH, len(uses.ops))):
        op = uses.ops[i]
        if i in uses.gone or op.kind not in kinds or op.params > 1 or not op.inputs or not inside.issuperset(op.inputs):
            continue
        if "softmax" in op.form:
            continue
        members.append(i)
        inside.add(op.output)
        met |= i > seed and len(set(op.inputs)) > 1
        whole = met and not (needs and needs.isdisjoint(uses.ops[j].form for j in members))
        if whole and i > seed and op.out_elements == size and leaves(uses, members) == {op.output}:
            return members if seed in members else []
    return []


def leaves(uses: Uses, members: list[int]) -> set[int]:
    """The values of operators that others read."""
    own = set(members)
    values = (uses.ops[i].output for i in members)
    return {
        v for v in values if v in uses.outputs or not own.issuperset(uses.readers.get(v, ())) or not uses.readers.get(v)
    }


def is_scale(op: Op) -> bool:
    """Is it a product with a number?"""
    return (op.kind == "mul" or f"{op.kind}.{op.form}" == "map.div") and len(set(op.inputs)) == 1 and op.params <= 1


def is_affine(op: Op) -> bool:
    """Is it a sum or a product with constants, one a channel at most? Files share those that are equal: only the first
    use of a tensor has params."""
    return len(op.inputs) == 1 and op.params <= max(op.out_shape, default=0)


def fold_into_product(uses: Uses, i: int) -> None:
    """What a matrix product does on the way: a number that scales it, a bias, an operand that is transposed."""
    op = uses.ops[i]
    if op.kind == "add" and is_affine(op):
        before = uses.maker_of(op.inputs[0])
        if before is not None and uses.ops[before].kind == "linear" and reads_alone(uses, i):
            uses.drop(i)
    elif is_scale(op) or is_turned(op):
        before = uses.maker_of(op.inputs[0])
        after = uses.maker_of(op.inputs[0]) is not None and uses.ops[before or 0].kind == "matmul"
        if feeds_products(uses, op.output) or (is_scale(op) and after and reads_alone(uses, i)):
            uses.drop(i)


def reads_alone(uses: Uses, i: int) -> bool:
    """Does nobody else read what the operator reads?"""
    return len(uses.readers.get(uses.ops[i].inputs[0], ())) == 1


def is_turned(op: Op) -> bool:
    """Do the last two axes change places, and nothing else?"""
    if op.kind != "layout" or op.form != "transpose" or len(op.out_shape) < 2:
        return False
    x = op.in_shapes[0]
    return len(x) == len(op.out_shape) and (*x[:-2], x[-1], x[-2]) == op.out_shape


def feeds_products(uses: Uses, value: int) -> bool:
    """Do only products of two values read it, itself, as a view, scaled or with axes that changed places?"""
    places = uses.readers.get(value, ())
    return (
        value not in uses.outputs
        and bool(places)
        and all(
            uses.ops[i].kind == "matmul"
            or (
                (uses.ops[i].view or is_turned(uses.ops[i]) or is_scale(uses.ops[i]))
                and feeds_products(uses, uses.ops[i].output)
            )
            for i in places
        )
    )
