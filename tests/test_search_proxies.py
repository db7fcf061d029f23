"""Proxies are functions of the network and the seed alone, and fail where there is nothing to measure."""

from math import inf, log

import numpy as np
import pytest

from netlathe.arch.build import seq
from netlathe.arch.joins import Flatten
from netlathe.arch.layers import Linear
from netlathe.arch.network import Network
from netlathe.errors import NetlatheError
from netlathe.lower.initial import initial_weights
from netlathe.search import spaces
from netlathe.search.proxies import PROXIES, jacob_cov, synflow

CELLS = spaces.get("nb201", width=8, depth=1)


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_is_a_function_of_network_and_seed(name):
    network = CELLS.decode((3, 0, 2, 1, 0, 3))
    proxy = PROXIES[name]
    assert proxy(network, 1) == proxy(network, 1)
    assert (proxy(network, 1) == proxy(network, 2)) == (name in ("params", "macs"))
    assert np.isfinite(proxy(network))


def test_synflow_of_linear_layers_is_the_sum_over_all_paths():
    # Every one of L layers conserves the flow: sum |w dR/dw| = L R, R the sum over paths of products of |w|.
    network = Network("two", seq(flat=Flatten(), a=Linear(4, bias=False), b=Linear(3, bias=False)), (2, 2, 2))
    weights = initial_weights(network, "he", 0)
    total = np.abs(weights["b.weight"]).astype(float) @ np.abs(weights["a.weight"]).astype(float)
    assert synflow(network) == pytest.approx(log(2 * total.sum()), rel=1e-6)


def test_jacob_cov_of_a_linear_network_sees_one_gradient_for_all_images():
    network = Network("one", seq(flat=Flatten(), a=Linear(3)), (2, 2, 2))
    # all correlations are 1: the eigenvalues are the number of images and zeros
    assert jacob_cov(network, batch=4) < -1e5
    assert jacob_cov(CELLS.decode((3,) * 6), batch=4) > jacob_cov(network, batch=4)
    with pytest.raises(NetlatheError, match="two at least"):
        jacob_cov(network, batch=1)


def test_a_cell_that_carries_nothing_comes_last():
    assert jacob_cov(CELLS.decode((0,) * 6)) == -inf
    assert synflow(CELLS.decode((0,) * 6)) == -inf
