"""NASNet's controller: a one-layer LSTM that writes a network decision by decision, trained by PPO (`train` extra).

Settings of Zoph et al. 2018: 100 units, uniform(-0.1, 0.1), Adam 3.5e-4, entropy weight 1e-5, baseline decay 0.95, 20
networks a step. They were for 20,000 networks; the defaults here keep the shape and scale the batch and the rate to
some hundred evaluations. Not in the paper, from Schulman et al. 2017: clip 0.2, four passes over a batch.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from netlathe.errors import MissingExtra
from netlathe.search.strategies.reinforce import RewardBaseline
from netlathe.search.strategy import Proposal, TrialResult

try:
    import torch
    from torch import Tensor, nn
except ImportError:
    raise MissingExtra("torch", "train") from None

if TYPE_CHECKING:
    from numpy.random import Generator

    from netlathe.search.space import Genotype, SearchSpace


class LstmPolicy(nn.Module):
    """A distribution over genotypes: an LSTM reads the option it took and scores those of the next decision."""

    def __init__(self, counts: list[int], units: int, seed: int) -> None:
        super().__init__()
        self.offsets = [1 + sum(counts[:i]) for i in range(len(counts))]  # row 0: the start
        self.read = nn.Embedding(1 + sum(counts), units)
        self.cell = nn.LSTMCell(units, units)
        self.heads = nn.ModuleList(nn.Linear(units, n) for n in counts)
        source = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1, generator=source)

    def walk(self, raw: Tensor, rng: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Log probability and entropy, both [n], of genotypes [n, decisions]; with `rng` they are drawn into `raw`."""
        n = len(raw)
        state: Any = None
        taken = torch.zeros(n, dtype=torch.long)
        total, entropy = torch.zeros(n), torch.zeros(n)
        for i, (head, offset) in enumerate(zip(self.heads, self.offsets, strict=True)):
            state = self.cell(self.read(taken), state)
            logs = head(state[0]).log_softmax(1)
            if rng is not None:
                below = logs.exp().cumsum(1)
                level = torch.from_numpy(rng.random((n, 1)).astype(np.float32)) * below[:, -1:]
                raw[:, i] = (below < level).sum(1)
            total = total + logs.gather(1, raw[:, i : i + 1])[:, 0]
            entropy = entropy - (logs.exp() * logs).sum(1)
            taken = raw[:, i] + offset
        return total, entropy


class Controller:
    """Draws a batch at once, asks it one by one, and learns when as many outcomes are told."""

    def __init__(
        self,
        space: SearchSpace,
        rng: Generator,
        *,
        evaluations: int | None,
        units: int,
        learning_rate: float,
        entropy: float,
        decay: float,
        batch: int,
        clip: float,
        passes: int,
    ) -> None:
        self.space, self.rng, self.batch = space, rng, batch
        self.entropy, self.clip, self.passes = entropy, clip, passes
        counts = [len(decision.options) for decision in space.decisions]
        self.policy = LstmPolicy(counts, units, int(rng.integers(2**31)))
        self.adam = torch.optim.Adam(self.policy.parameters(), learning_rate)
        self.baseline, self.worst = RewardBaseline(decay), inf
        self.seen: set[Genotype] = set()
        self.asked = 0
        self.waiting: list[tuple[Genotype, float]] = []  # drawn, not asked: raw genotype, its log probability then
        self.drawn: dict[int, tuple[Genotype, float]] = {}  # asked, by tag
        self.told: list[tuple[Genotype, float, float]] = []  # raw genotype, log probability, advantage

    def ask(self) -> Proposal | None:
        """A draw of the policy. None where the whole space was asked."""
        if len(self.seen) >= self.space.size:
            return None
        if not self.waiting:
            raw = torch.zeros(self.batch, len(self.space.decisions), dtype=torch.long)
            with torch.no_grad():
                logs, _ = self.policy.walk(raw, self.rng)
            self.waiting = [(tuple(row), float(log)) for row, log in zip(raw.tolist(), logs, strict=True)]
        self.asked += 1
        drawn = self.drawn[self.asked] = self.waiting.pop()
        genotype = self.space.normal(drawn[0])
        self.seen.add(genotype)
        return Proposal(genotype, tag=self.asked)

    def tell(self, proposal: Proposal, outcome: TrialResult) -> None:
        """A step of the policy for every `batch` outcomes; a failed network is worth the worst one."""
        raw, log = self.drawn.pop(proposal.tag)
        if outcome.score > -inf:
            self.worst = min(self.worst, outcome.score)
        elif self.worst == inf:
            return
        reward = max(outcome.score, self.worst)
        self.told.append((raw, log, reward - self.baseline.update(reward)))
        if len(self.told) >= self.batch:
            self._learn()
            self.told, self.waiting = [], []

    def _learn(self) -> None:
        raw = torch.tensor([one[0] for one in self.told])
        old = torch.tensor([one[1] for one in self.told])
        advantage = torch.tensor([one[2] for one in self.told])
        for _ in range(self.passes):
            log, entropy = self.policy.walk(raw)
            ratio = (log - old).exp()
            gain = torch.minimum(ratio * advantage, ratio.clamp(1 - self.clip, 1 + self.clip) * advantage)
            loss = -(gain + self.entropy * entropy).mean()
            self.adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.adam.step()
