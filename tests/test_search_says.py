"""What a search says of its trials: which decision matters, which limit was broken, how a task on Ray ended."""

import pytest

from netlathe.choose.budget import read_budget
from netlathe.search.costing import broken_limits, describe_broken
from netlathe.search.ray_executor import task_end
from netlathe.search.summary import count_reasons, decision_importance, name_options
from netlathe.search.trial import Trial, TrialState

DECISIONS = [("width", ("0.5", "1.0")), ("kernel", ("3", "5", "7"))]


def trial(number: int, genotype: tuple[int, ...], score: float = 0.0, **more: object) -> Trial:
    done = {"state": TrialState.DONE, "score": score} | more
    return Trial(number, genotype, None, 0, str(number), 0, number, **done)  # type: ignore[arg-type]


def test_options_have_their_names() -> None:
    assert name_options((1, 2), DECISIONS) == {"width": "1.0", "kernel": "7"}
    assert name_options((1, 2), []) == {}  # a folder of an older version


def test_the_decision_that_scores_follow_is_the_important_one() -> None:
    grid = [(width, kernel) for width in range(2) for kernel in range(3)] * 2
    trials = [trial(i, genotype, 10.0 * genotype[0] + 0.1 * (i % 2)) for i, genotype in enumerate(grid)]
    shares = decision_importance(trials, DECISIONS)
    assert list(shares) == ["width", "kernel"]
    assert shares["width"] > 0.99
    assert shares["kernel"] == 0
    assert decision_importance(trials[:9], DECISIONS) == {}


def test_a_broken_latency_says_whether_it_was_forecast_or_measured() -> None:
    budget = read_budget({"latency": "5ms", "macs": "1M"})
    forecast = {"latency": 9.0, "latency_low": 7.0, "macs": 2e6}
    measured = {"latency": 9.0, "macs": 5e5}
    said = [
        describe_broken(costs, broken_limits(costs, budget, hopeful=True), budget, hopeful=True)
        for costs in (forecast, measured)
    ]
    assert "latency (forecast) 7" in said[0]
    assert "latency (measured) 9" in said[1]
    trials = [trial(i, (0, 0), state=TrialState.INFEASIBLE, error=error) for i, error in enumerate(said)]
    assert count_reasons(trials) == {"latency (forecast)": 1, "macs": 1, "latency (measured)": 1}


class RayTaskError(Exception):
    cause = ValueError("no such kernel\nand more")


class GetTimeoutError(Exception):
    pass


class RayActorError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "field", "words"),
    [
        (RayTaskError(), "error", "ValueError: no such kernel"),
        (GetTimeoutError(), "died", "Ray gave no answer in time: GetTimeoutError"),
        (RayActorError(), "died", "the Ray worker died: RayActorError"),
    ],
)
def test_tasks_on_ray_end_as_what_ended_them(error: Exception, field: str, words: str) -> None:
    assert getattr(task_end(3, error), field) == words
