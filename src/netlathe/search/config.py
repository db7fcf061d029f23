"""What a search is: JSON values that any process can make the space, the strategy and the objective of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from netlathe.choose.budget import read_budget
from netlathe.documents.faults import faults_error
from netlathe.documents.schema import check_document
from netlathe.errors import NetlatheError
from netlathe.search.costing import Costing, TargetOptions
from netlathe.search.objective import Objective, spec_from_json

if TYPE_CHECKING:
    from netlathe.choose.budget import Budget
    from netlathe.search.space import SearchSpace

CHANGEABLE = ("evaluations", "final_seeds", "final_top")  # what a search may go on with changed


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """What is asked for.

    `space` is a name with choices (`macro`, `around:resnet20`) or `file.py:function`; `objective` the data of a
    description (`objective.to_data`); `limits` as written (latency = "5ms"). `evaluations` counts whole evaluations: a
    lower rung counts its fraction, what is infeasible nothing, and a repeat nothing unless `bill_repeats`.
    """

    space: str
    strategy: str
    objective: dict[str, Any]
    evaluations: int
    options: dict[str, Any] = field(default_factory=dict)  # of the strategy
    limits: dict[str, str] = field(default_factory=dict)
    where: dict[str, Any] = field(default_factory=lambda: asdict(TargetOptions()))
    seed: int = 0
    bill_repeats: bool = False
    final_seeds: int = 3
    final_top: int = 1


class SearchProblem(NamedTuple):
    """What a configuration stands for."""

    space: SearchSpace
    objective: Objective
    budget: Budget


def build_problem(config: SearchConfig, folder: Path) -> SearchProblem:
    """Raises NetlatheError for names and units that are wrong."""
    space = load_space(config.space)
    costing = Costing(read_budget(config.limits), TargetOptions(**config.where), folder / "bench.lock")
    objective = spec_from_json(config.objective).objective(space, costing)
    return SearchProblem(getattr(objective, "space", space), objective, costing.budget)


def load_space(text: str) -> SearchSpace:
    """The space that a text names: a name with choices, or file.py:function, which returns a Space or a Network.

    Raises NetlatheError for anything else.
    """
    from netlathe.arch.network import Network
    from netlathe.arch.node import Node
    from netlathe.code_name import split_name
    from netlathe.load import parse_choices
    from netlathe.project import build_object
    from netlathe.search import spaces
    from netlathe.search.space import SearchSpace

    if (where := split_name(text)) is not None and where.source.endswith(".py"):
        value, _ = build_object(where)
        if isinstance(value, Node):
            value = Network(where.name, value)
        space = SearchSpace(value.name, value) if isinstance(value, Network) else value
        if not isinstance(space, SearchSpace):
            raise NetlatheError(
                f"{where.name}() returned {type(value).__name__}, not a SearchSpace, a Network or an expression",
                code="search.space",
                path=where.source,
            )
        return space
    name, sign, choices = text.partition(":")
    if name == "around" and sign:
        net, _, choices = choices.partition(":")
        return spaces.get(f"around:{net}", **parse_choices(choices, text))
    return spaces.get(name, **parse_choices(choices, text))


def stored_config(facts: Mapping[str, Any], folder: Path) -> SearchConfig:
    """The configuration among the facts that a search wrote into its folder.

    Raises NetlatheError where the search was never begun, and for values that are not those of a configuration.
    """
    if "config" not in facts:
        hint = "it was ended at once, or nothing kept its limits: netlathe search run SPACE -o FOLDER begins it again"
        raise NetlatheError("this search was never begun", code="store.empty", path=str(folder), hint=hint)
    document = facts["config"]
    _, faults = check_document(SearchConfig, document)
    if faults:
        hint = "another Netlathe made it: search again"
        raise faults_error(faults, code="store.config", path="the configuration of the search", hint=hint)
    return SearchConfig(**document)
