"""Several processes that train as one: torchrun's environment, DistributedDataParallel, norms of the whole batch.

    torchrun --nproc-per-node 2 -m netlathe train ...

The global batch of a step is cut into one slice a process, so a recipe means the same on any number of them. Nothing
here is home-made communication: gloo on CPUs, NCCL on GPUs. https://docs.pytorch.org/docs/stable/elastic/run.html
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from netlathe.errors import MissingExtra, NetlatheError

try:
    import torch
    import torch.distributed as dist
    from torch import Tensor, nn
    from torch.nn.parallel import DistributedDataParallel

    from netlathe.train.norms import synchronise_norms
except ImportError as error:
    raise MissingExtra("torch", "train") from error

T = TypeVar("T")
TIMEOUT = timedelta(minutes=10)  # for what one process may do while the others wait, such as a last evaluation
NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among `world` processes, and its device."""

    rank: int = 0
    world: int = 1
    local: int = 0  # rank on this machine
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def slice(self, n: int) -> slice:
        """This process's part of n images: contiguous, of equal size where 2 `world` divides n, pairs kept together."""
        pairs = -(-n // 2)
        first, last = (2 * (pairs * rank // self.world) for rank in (self.rank, self.rank + 1))
        return slice(min(first, n), min(last, n))

    def check_batch(self, batch: int) -> None:
        """Raise NetlatheError where a batch cannot be cut evenly, in pairs: its mean would be another one."""
        step = 2 * self.world
        if self.world > 1 and batch % step:
            below, above = batch // step * step, -(-batch // step) * step
            legal = f"--batch {below} or {above}" if below else f"--batch {above}"
            raise NetlatheError(
                f"a batch of {batch} images cannot be shared evenly by {self.world} processes",
                code="train.batch",
                hint=f"it must be a multiple of {step}: {legal}",
            )

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module as it trains: gradients are means over the processes, batch norms see the whole batch.

        The norms are replaced inside the module itself, their weights and keys stay; the values of rank 0 win.
        """
        if self.world == 1:
            return module
        if self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
            ids: list[torch.device] | None = [self.device]
        else:
            module, ids = synchronise_norms(module), None
        # Running statistics are equal everywhere as the norms are synchronised: nothing to broadcast.
        return DistributedDataParallel(module, device_ids=ids, forward_sync_buffers=False)

    def sync(self, run: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """The context of one piece of an accumulated batch: gradients are exchanged with the last one alone."""
        if isinstance(run, DistributedDataParallel) and not last:
            return run.no_sync()
        return nullcontext()

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process: all get the same answer."""
        if self.world == 1:
            return flag
        return bool(sum_over_ranks(torch.tensor(int(flag))))

    def agreed(self, value: T) -> T:
        """The value that rank 0 has."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            dist.barrier(device_ids=[self.device.index] if self.device.type == "cuda" else None)


@cache
def join_ranks() -> Ranks:
    """This process as torchrun started it; the first call joins the others. Alone without torchrun.

    Raises NetlatheError for an environment that is not whole, or more processes on a machine than it has GPUs.
    """
    here = read_ranks(os.environ, torch.cuda.device_count() if torch.cuda.is_available() else 0)
    if here.device.type == "cuda":
        torch.cuda.set_device(here.device)
    if here.world > 1:
        dist.init_process_group("nccl" if here.device.type == "cuda" else "gloo", timeout=TIMEOUT)
        atexit.register(leave)
    return here


def read_ranks(environment: Mapping[str, str], gpus: int) -> Ranks:
    """What the environment says, with the GPU of the local rank where there are GPUs."""
    values = {name: environment[name] for name in NEEDED if environment.get(name)}
    if "RANK" not in values and "LOCAL_RANK" not in values:
        return Ranks(device=torch.device("cuda", 0) if gpus else torch.device("cpu"))
    try:
        rank, world, local = (int(values[name]) for name in NEEDED[:3])
    except (KeyError, ValueError):
        rank = world = local = -1
    if len(values) < len(NEEDED) or not 0 <= rank < world or local < 0:
        text = ", ".join(f"{name}={environment.get(name, '')}" for name in NEEDED)
        raise NetlatheError(
            f"these variables do not describe one process among several: {text}",
            code="train.ranks",
            hint="start it with torchrun, or unset them for a single process",
        )
    if gpus and local >= gpus:
        raise NetlatheError(
            f"local rank {local}, but this machine has {gpus} GPUs",
            code="train.ranks",
            hint=f"torchrun --nproc-per-node {gpus}, or CUDA_VISIBLE_DEVICES= to train on the CPU",
        )
    return Ranks(rank, world, local, torch.device("cuda", local) if gpus else torch.device("cpu"))


def leave() -> None:
    """Leave the others; a later `join_ranks()` joins again."""
    join_ranks.cache_clear()
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """The sum over all processes, exact for integers; a new tensor on the same device."""
    if not (dist.is_available() and dist.is_initialized()):
        return tensor.clone()
    total = tensor.to(join_ranks().device, copy=True)
    dist.all_reduce(total)
    return total.to(tensor.device)
