"""The plan of a training, its checkpoints and its intervals: pure functions and files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from netlathe.errors import NetlatheError
from netlathe.stats.intervals import wilson_interval
from netlathe.train import checkpoint, evaluate
from netlathe.train.ema import WeightAverage
from netlathe.train.plan import Leg, TrainingPlan, affordable_images

plans = st.builds(
    lambda batch, steps, epochs: TrainingPlan(batch, steps, (Leg(0, 0.0, batch * steps * epochs),)),
    st.integers(1, 64),
    st.integers(1, 50),
    st.integers(1, 30),
)


@given(plans)
def test_progress_rises_from_nothing_to_all(plan: TrainingPlan) -> None:
    steps = range(0, plan.total + 1, plan.batch)
    shares = [plan.progress(seen) for seen in steps]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert shares == sorted(shares)


@given(plans, st.floats(0, 1), st.floats(0, 1.5))
def test_a_cut_changes_nothing_before_it_and_still_reaches_the_end(
    plan: TrainingPlan, when: float, where: float
) -> None:
    seen = int(when * (plan.total // plan.batch - 1)) * plan.batch
    short = plan.cut(seen, int(where * plan.total))
    assert all(short.progress(n) == plan.progress(n) for n in range(0, seen, plan.batch))
    assert short.total % plan.batch == 0
    assert short.total > seen
    assert short.progress(short.total) == 1
    assert short.progress(seen) == pytest.approx(plan.progress(seen))
    later = [short.progress(n) for n in range(seen, short.total + 1, plan.batch)]
    assert later == sorted(later)


def test_what_a_time_affords_counts_the_evaluations() -> None:
    plan = TrainingPlan(batch=10, steps=10, legs=(Leg(0, 0.0, 10_000),))
    assert affordable_images(plan, 500, seconds_left=30, images_per_s=100, epoch_s=0) == 500 + 3000
    assert affordable_images(plan, 500, seconds_left=30, images_per_s=100, epoch_s=1) == 500 + 1500
    assert affordable_images(plan, 500, seconds_left=-1, images_per_s=100, epoch_s=1) == 500


def test_the_newest_whole_generation_is_read(tmp_path: Path) -> None:
    assert checkpoint.read_newest(tmp_path) is None
    for generation in (1, 2, 3):
        checkpoint.save(tmp_path, {"x": torch.tensor(generation)}, generation)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(checkpoint.SLOTS)
    newest = checkpoint.read_newest(tmp_path)
    assert newest is not None
    assert (newest["generation"], int(newest["x"])) == (3, 3)


def test_a_damaged_generation_leaves_the_one_before(tmp_path: Path) -> None:
    for generation in (1, 2):
        checkpoint.save(tmp_path, {"x": torch.zeros(100)}, generation)
    last = tmp_path / checkpoint.SLOTS[0]
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    older = checkpoint.read_newest(tmp_path)
    assert older is not None
    assert older["generation"] == 1
    (tmp_path / checkpoint.SLOTS[1]).write_bytes(b"")
    with pytest.raises(NetlatheError, match="no checkpoint here is whole"):
        checkpoint.read_newest(tmp_path)


def test_the_average_is_the_closed_form() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0.0)
    average = WeightAverage(module, decay=0.9)
    wanted = 0.0
    for t in range(50):
        with torch.no_grad():
            module.weight.fill_(float(t))
        average.update(module)
        keep = min(0.9, (1 + t) / (10 + t))
        wanted = keep * wanted + (1 - keep) * t
    assert average.module.weight.item() == pytest.approx(wanted, rel=1e-5)


@given(st.integers(1, 500), st.floats(0, 1), st.sampled_from([0.8, 0.95]))
def test_wilsons_interval_is_that_of_scipy(count: int, share: float, confidence: float) -> None:
    hits = round(share * count)
    wanted = stats.binomtest(hits, count).proportion_ci(confidence, method="wilson")
    assert wilson_interval(hits, count, confidence) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


@pytest.mark.parametrize(
    ("seconds", "counted", "passes"),
    [
        ([9.0, 0.1, 0.1, 0.1, 0.1, 0.1], 0.1, 6),  # the first pass is cold
        ([9.0, 0.04, 0.4, 0.04, 0.04, 0.04], 0.04, 5),  # the machine was busy for a moment
        ([9.0, 2.0, 2.0], 2.0, 2),  # a large network is not asked again and again
    ],
)
def test_the_time_kept_for_the_last_evaluation_is_that_of_a_warm_undisturbed_pass(
    seconds: list[float], counted: float, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = list[float]()

    class Timed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert not self.training
            done.append(seconds[len(done)])
            return x

    monkeypatch.setattr(evaluate, "time", SimpleNamespace(monotonic=lambda: sum(done)))
    module = Timed().train()
    assert evaluate.forward_seconds(module, (1, 2, 2)) == pytest.approx(counted / evaluate.TIMED_IMAGES)
    assert len(done) == passes
    assert module.training
