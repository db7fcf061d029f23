"""What a trial is scored by. The description of an objective is data, so that any process can build it again.

table   a tabular benchmark: the score of a network that somebody has trained
train   the validation accuracy after a whole, short schedule of a recipe (`trained.py`)
proxy   a zero-cost proxy of the untrained network
call    a function of a Python file: score(network), with `seed`, `fraction` and `folder` where it takes them
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from netlathe.code_name import file_of, split_name
from netlathe.documents.faults import faults_error
from netlathe.documents.schema import check_document
from netlathe.errors import NetlatheError, unknown
from netlathe.project import find_object
from netlathe.runfolder.identity import content, file_content
from netlathe.search.costing import Costing
from netlathe.search.genotype import genotype_text
from netlathe.search.trial import Costs, Evaluation, Genotype, TrialTask

if TYPE_CHECKING:
    from netlathe.arch.network import Network
    from netlathe.search.space import SearchSpace
    from netlathe.search.tables import TabularBenchmark

FIRST_FRESH_SEED = 1_000_000_000  # fresh seeds begin here, above those of all trials
MAX_FRESH_SEEDS = 1000  # as many fresh seeds as anyone wants
COUNTED = ("params", "macs")  # proxies that no seed changes


class Objective(Protocol):
    """What the study asks (costs) and what a worker does (evaluate)."""

    hopeful: bool  # whether a latency is a forecast that measuring may still contradict
    fresh: int  # how many seeds a winner can be evaluated on that the search did not see; 0 where none has an effect

    def costs(self, genotype: Genotype) -> Costs:
        """What a network costs, in milliseconds. Raises NetlatheError for one that cannot be built."""

    def evaluate(self, task: TrialTask) -> Evaluation:
        """Pay for a trial. Whatever it raises is recorded, and the search goes on."""


class ObjectiveSpec(Protocol):
    """The data of an objective: a frozen dataclass of JSON values."""

    kind: ClassVar[str]

    def contents(self, space: SearchSpace) -> dict[str, Any]:
        """The fields that name something outside of the description, by its content (`runfolder.identity`)."""

    def objective(self, space: SearchSpace, costing: Costing) -> Objective:
        """The objective itself, with whatever it needs to load."""


KINDS = {
    "table": "netlathe.search.objective:TableSpec",
    "train": "netlathe.search.training:TrainingSpec",
    "proxy": "netlathe.search.objective:ProxySpec",
    "call": "netlathe.search.objective:FunctionSpec",
}


def spec_to_json(description: ObjectiveSpec) -> dict[str, Any]:
    """A description as JSON values."""
    return {"kind": description.kind} | asdict(cast(Any, description))


def spec_from_json(data: Mapping[str, Any]) -> ObjectiveSpec:
    """The description again. Raises NetlatheError for an unknown kind, and for every field that is wrong."""
    values = dict(data)
    kind = str(values.pop("kind", ""))
    if kind not in KINDS:
        raise unknown("kind of objective", kind, KINDS, code="search.objective")
    module, name = KINDS[kind].split(":")
    spec_class = getattr(import_module(module), name)
    _, faults = check_document(spec_class, values)
    if faults:
        raise faults_error(faults, code="search.objective", path=f"the objective {kind}")
    return cast(ObjectiveSpec, spec_class(**values))


def draw_number(seed: int, key: str, count: int) -> int:
    """One of `count`, the same for this key in every process."""
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8]) % count


@dataclass(frozen=True)
class FunctionSpec:
    """`file.py:function` gives the score of a network, higher is better; or (score, costs by name)."""

    kind: ClassVar[str] = "call"
    function: str

    def contents(self, space: SearchSpace) -> dict[str, Any]:
        """The bytes of the file."""
        file = file_of(self.function)
        name = self.function.removeprefix(file)[1:]
        return {"function": content(self.function, f"{name} {file_content(file)['key'].split()[-1]}")}

    def objective(self, space: SearchSpace, costing: Costing) -> Objective:
        """Runs the file."""
        where = split_name(self.function)
        assert where is not None
        function, project = find_object(where)
        return FunctionObjective(project.bind(function), space, costing)


class FunctionObjective:
    """Calls a function for every trial."""

    def __init__(self, function: Any, space: SearchSpace, costing: Costing) -> None:
        self.function, self.space, self.costing, self.hopeful = function, space, costing, costing.measures
        parameters = inspect.signature(function).parameters
        self.takes = {name for name in ("seed", "fraction", "folder") if name in parameters}
        self.fresh = MAX_FRESH_SEEDS if "seed" in self.takes else 0

    def costs(self, genotype: Genotype) -> Costs:
        """Of the network as the space has it."""
        return self.costing.costs(self.space.decode(genotype))

    def evaluate(self, task: TrialTask) -> Evaluation:
        """What the function returns."""
        network = self.space.decode(task.genotype)
        extra = measure_latency(self.costing, network)
        if extra.broken:
            return extra
        arguments = {"seed": task.seed, "fraction": task.fraction, "folder": task.folder}
        answer = self.function(network, **{name: arguments[name] for name in self.takes})
        score, costs = answer if isinstance(answer, tuple) else (answer, {})
        return extra._replace(score=float(score), costs={**extra.costs, **costs})


def measure_latency(costing: Costing, network: Network) -> Evaluation:
    """The measured latency of a network, where one is asked for; `broken` where it ends the trial."""
    if not costing.measures:
        return Evaluation(0.0, arch=network.key)
    from netlathe.search.costing import broken_limits, describe_broken

    costs, failure = costing.measured(network)
    if failure:
        raise NetlatheError(f"its latency cannot be measured: {failure}", code="search.latency")
    limits = broken_limits(costs, costing.budget, hopeful=False)
    return Evaluation(0.0, costs, network.key, broken=describe_broken(costs, limits, costing.budget, hopeful=False))


@dataclass(frozen=True)
class TableSpec:
    """The scores of a file of trained networks, see `tables.py`; the space says which kind of file it is.

    `noisy`: a network shows the score of one training, drawn by `seed`, and the fresh seeds of the winner are its
    other ones; else every score is the mean. `latencies` is a file of measured latencies and `device` one of its
    columns, for a limit on latency.
    """

    kind: ClassVar[str] = "table"
    path: str
    noisy: bool = False
    seed: int = 0
    dataset: str = "c10"
    latencies: str = ""
    device: str = ""

    def contents(self, space: SearchSpace) -> dict[str, Any]:
        """The bytes of the tables."""
        files = {"path": self.path} | ({"latencies": self.latencies} if self.device else {})
        return {name: file_content(path) for name, path in files.items()}

    def objective(self, space: SearchSpace, costing: Costing) -> Objective:
        """Reads the file. Raises NetlatheError for a space without tables."""
        from netlathe.search import tables

        if space.name not in ("macro", "nb201"):
            raise unknown("space with a table", space.name, ("macro", "nb201"), code="search.table")
        table = tables.load_macro(self.path) if space.name == "macro" else tables.load_nb201(self.path, self.dataset)
        if self.device:
            table = tables.with_latency(table, self.latencies, self.device)
        return TableObjective(self, table)


class TableObjective:
    """Looks scores up."""

    hopeful = False

    def __init__(self, spec: TableSpec, table: TabularBenchmark) -> None:
        self.spec, self.table = spec, table
        self.space = replace(
            table.space, merge=genotype_text
        )  # equal networks were trained apart, and have their own rows
        self.fresh = table.seeds - 1 if spec.noisy else 0

    def costs(self, genotype: Genotype) -> Costs:
        """Those of the table; the latency is that of the device."""
        costs = self.table.costs(genotype)
        return costs | ({"latency": costs[self.spec.device]} if self.spec.device else {})

    def evaluate(self, task: TrialTask) -> Evaluation:
        """One training or the mean."""
        if not self.spec.noisy:
            return Evaluation(self.table.score(task.genotype))
        shown = draw_number(self.spec.seed, str(task.genotype), self.table.seeds)
        unseen = [seed for seed in range(self.table.seeds) if seed != shown]
        column = unseen[task.seed % FIRST_FRESH_SEED % 1000] if task.seed >= FIRST_FRESH_SEED else shown
        return Evaluation(self.table.score(task.genotype, column))


@dataclass(frozen=True)
class ProxySpec:
    """A zero-cost proxy of the untrained network, by its name (`proxies.py`)."""

    kind: ClassVar[str] = "proxy"
    name: str

    def contents(self, space: SearchSpace) -> dict[str, Any]:
        """Nothing."""
        return {}

    def objective(self, space: SearchSpace, costing: Costing) -> Objective:
        """Raises NetlatheError for an unknown name."""
        from netlathe.search.proxies import PROXIES

        if self.name not in PROXIES:
            raise unknown("proxy", self.name, PROXIES, code="search.proxy")
        objective = FunctionObjective(PROXIES[self.name], space, costing)
        if self.name in COUNTED:
            objective.fresh = 0
        return objective
