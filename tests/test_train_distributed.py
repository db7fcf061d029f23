"""Two processes train as one: same gradients, same running statistics, one answer to every question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import forked
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from netlathe.errors import NetlatheError
from netlathe.train.distributed import Ranks, join_ranks, leave, read_ranks, sum_over_ranks
from netlathe.train.norms import synchronise_norms
from netlathe.train.precision import set_precision

IMAGES = 12


class Small(nn.Module):
    """Every kind of batch norm, of maps and of tokens, and a depthwise convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.process = nn.Conv2d(8, 8, 7, 1, 3, groups=8, bias=False)
        self.norm2 = nn.BatchNorm2d(8, momentum=None)
        self.norm3 = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.stem(x)), inplace=True)
        y = F.relu(self.norm2(self.process(y)))
        y = self.norm3(y.flatten(2)).mean(2)
        return self.head(y)


def network(seed: int) -> Small:
    torch.manual_seed(seed)
    module = set_precision(Small(), "fp32-arranged")
    assert isinstance(module, Small)
    return module


def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(9)
    return torch.randn(IMAGES, 3, 8, 8) * 3 + 5, torch.arange(IMAGES) % 5


def step(run: nn.Module, module: nn.Module, x: Tensor, labels: Tensor, pieces: int, here: Ranks) -> None:
    """A step of SGD, in pieces of equal size."""
    module.zero_grad()
    for i, (images, wanted) in enumerate(zip(x.chunk(pieces), labels.chunk(pieces), strict=True)):
        with here.sync(run, last=i == pieces - 1):
            (F.cross_entropy(run(images), wanted) / pieces).backward()
    with torch.no_grad():
        for weight in module.parameters():
            weight -= 0.1 * weight.grad


def in_pieces(x: Tensor, pieces: int) -> Tensor:
    """The images in the order in which two processes see them, piece by piece."""
    return torch.cat([part for pair in zip(*(half.chunk(pieces) for half in x.chunk(2)), strict=True) for part in pair])


def answer_as_one_of_two(file: Path) -> None:
    """What each of two processes runs; rank 0 saves the answers."""
    torch.set_num_threads(1)
    here = join_ranks()
    assert here is join_ranks()
    assert here.world == 2
    x, labels = batch()
    mine = here.slice(IMAGES)
    saved: dict[Any, Any] = {}
    for pieces in (1, 3):
        module = network(seed=here.rank)  # the values of rank 0 win
        run = here.wrap(module)
        keys = list(module.state_dict())
        for _ in range(2):
            step(run, module, x[mine], labels[mine], pieces, here)
        grads = {name: weight.grad for name, weight in module.named_parameters()}
        saved[pieces] = {"state": module.state_dict(), "keys": keys, "grad": grads, "eval": module.eval()(x)}
    uneven = [slice(0, 8), slice(8, 12)][here.rank]
    module = network(seed=0)
    run = here.wrap(module)
    y = run(x[uneven])
    gathered = torch.zeros(IMAGES, y.shape[1])
    gathered[uneven] = y.detach()
    saved["uneven"] = sum_over_ranks(gathered), module.state_dict()
    saved["any"] = here.any(here.rank == 1), here.any(False)
    saved["agreed"] = here.agreed(f"said by {here.rank}")
    number, real = torch.tensor([10**15 + here.rank, 1]), torch.tensor(0.1, dtype=torch.float64)
    saved["summed"] = sum_over_ranks(number), sum_over_ranks(real)
    here.wait()
    if here.first:
        torch.save(saved, file)
    leave()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What rank 0 of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    forked.ranks(folder, answer_as_one_of_two, folder / "found.pt")
    return torch.load(folder / "found.pt")


@pytest.mark.parametrize("pieces", [1, 3])
def test_two_processes_have_the_gradients_and_statistics_of_one(two, pieces):
    module, (x, labels) = network(seed=0), batch()
    for _ in range(2):
        step(module, module, in_pieces(x, pieces), in_pieces(labels, pieces), pieces, Ranks())
    found = two[pieces]
    close = {"rtol": 1e-5, "atol": 1e-5}
    for name, weight in module.named_parameters():
        torch.testing.assert_close(found["grad"][name], weight.grad, **close, msg=name)
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(found["state"][name], tensor, **close, msg=name)
    torch.testing.assert_close(found["eval"], module.eval()(x), **close)


def test_synchronised_norms_keep_the_keys_of_the_plain_ones(two):
    assert two[1]["keys"] == list(network(seed=0).state_dict())
    network(seed=1).load_state_dict(two[1]["state"])


def test_processes_with_different_numbers_of_images_share_their_statistics(two):
    module, (x, _) = network(seed=0), batch()
    y, (found, state) = module(x), two["uneven"]
    torch.testing.assert_close(found, y.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state["norm1.running_var"], module.norm1.running_var, rtol=1e-5, atol=1e-5)


def test_all_processes_get_one_answer_and_sums_are_exact(two):
    assert two["any"] == (True, False)
    assert two["agreed"] == "said by 0"
    assert two["summed"][0].tolist() == [2 * 10**15 + 1, 2]
    assert float(two["summed"][1]) == 0.2


def compare_norms_of_one_process() -> None:
    """A process that is a group of its own."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    torch.manual_seed(0)
    x = torch.randn(6, 4, 5, 5, dtype=torch.float64) + 3
    norm = nn.BatchNorm2d(4).double()
    norm.weight.data.uniform_(0.5, 2)
    plain = nn.BatchNorm2d(4).double()
    plain.load_state_dict(norm.state_dict())
    synchronise_norms(norm)
    grad, got = torch.randn_like(x), []
    for part in (plain, norm):
        z = x.clone().requires_grad_()
        y = part(z)
        got.append([y, *torch.autograd.grad(y, [z, part.weight, part.bias], grad), part.running_mean, part.running_var])
    for ours, theirs in zip(got[1], got[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    norm, plain = norm.float(), plain.float()
    z = x.bfloat16()
    y = norm(z)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, plain(z), rtol=1e-2, atol=2e-2)
    dist.destroy_process_group()


def test_a_norm_of_the_whole_batch_reads_bfloat16_and_gives_the_gradient_of_float64(tmp_path):
    """The arithmetic without the exchange."""
    log = tmp_path / "log.txt"
    process = forked.start(compare_norms_of_one_process, log=log)
    process.join()
    assert process.exitcode == 0, log.read_text()


def test_slices_cover_a_batch_in_order_and_keep_pairs_together():
    for world in (1, 2, 3, 4):
        for n in (*range(20), 64, 1001):
            parts = [range(n)[Ranks(rank, world).slice(n)] for rank in range(world)]
            assert [i for part in parts for i in part] == list(range(n))
            assert all(part.start % 2 == 0 for part in parts if part)
            if n % (2 * world) == 0:
                assert {len(part) for part in parts} == {n // world}


def test_a_batch_that_cannot_be_shared_evenly_says_which_can():
    Ranks(0, 2).check_batch(64)
    Ranks().check_batch(5)
    with pytest.raises(NetlatheError, match="batch of 66 images cannot be shared evenly by 2 processes") as caught:
        Ranks(0, 2).check_batch(66)
    assert "--batch 64 or 68" in caught.value.hint
    with pytest.raises(NetlatheError) as caught:
        Ranks(0, 4).check_batch(5)
    assert caught.value.hint.endswith("--batch 8")


TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "29500"}


def test_a_process_finds_its_place_in_the_environment_of_torchrun():
    assert read_ranks({}, gpus=0) == Ranks(0, 1, 0, torch.device("cpu"))
    assert read_ranks({}, gpus=2).device == torch.device("cuda", 0)
    assert read_ranks(TORCHRUN, gpus=0) == Ranks(3, 4, 1, torch.device("cpu"))
    assert read_ranks(TORCHRUN, gpus=2).device == torch.device("cuda", 1)
    assert not read_ranks(TORCHRUN, gpus=0).first


@pytest.mark.parametrize("wrong", [{"RANK": "4"}, {"RANK": "x"}, {"MASTER_ADDR": ""}, {"WORLD_SIZE": ""}])
def test_an_environment_that_is_not_whole_is_refused(wrong):
    with pytest.raises(NetlatheError, match="do not describe one process among several") as caught:
        read_ranks(TORCHRUN | wrong, gpus=0)
    assert "torchrun" in caught.value.hint


def test_more_processes_than_gpus_are_refused():
    with pytest.raises(NetlatheError, match="local rank 1, but this machine has 1 GPUs"):
        read_ranks(TORCHRUN, gpus=1)


def test_alone_nothing_changes():
    here, module = Ranks(), nn.BatchNorm2d(3)
    assert here.wrap(module) is module
    assert type(module) is nn.BatchNorm2d
    assert here.any(True)
    assert here.agreed("it") == "it"
    assert sum_over_ranks(torch.tensor(3)) == 3
    here.wait()
    assert join_ranks().world == 1
