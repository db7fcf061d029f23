"""Which networks a kit takes along: small files that have every class of operators, each at two resolutions.

A model that is fitted to images of one size cannot tell what grows with resolution from what does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from netlathe import zoo
from netlathe.arch.network import Network
from netlathe.device.features import FeatureRow
from netlathe.device.latency import feature_row
from netlathe.device.measurements import SHORT
from netlathe.device.probe import cover, design
from netlathe.errors import NetlatheError, unknown
from netlathe.load import load
from netlathe.units import show_bytes

# Narrow and shallow versions of what is large in the zoo: the classes of operators of ViTs, DenseNets, ConvNeXts ...
NARROWED = (
    "convnext_atto:width=24",
    "densenet121:growth=12",
    "efficientnet_b0:width=0.5",
    "nasnet_mobile:width=22",
    "regnetx_400mf:wa=12.0",
    "resnet18:width=24",
    "unet_padded:width=8",
    "vit_tiny_patch16:depth=4",
    "vitc_1gf:depth=4",
)
LARGE, SMALL = (224, 128), (64, 32)  # resolutions: of networks for photographs, and for tiny images
TINY = 64  # pixels up to which images are tiny


class KitNetwork(NamedTuple):
    """A network that may go into a kit: the text that names it, and it at each resolution."""

    name: str
    sizes: tuple[Network, ...]
    params: int
    row: FeatureRow  # at the first resolution


def choose_networks(pattern: str, count: int, most_bytes: int, runtime: str) -> list[KitNetwork]:
    """`count` networks whose names match, with files of at most `most_bytes`, in order of size.

    Every class of operators that any such network has is in one of them, as far as `count` goes; the others are a
    design (`device.probe`). Raises NetlatheError where no name matches, or too few are small enough.
    """
    candidates = [one for name in matching(pattern) if (one := kit_network(name, most_bytes, runtime))]
    if len(candidates) < count:
        message = f"only {len(candidates)} networks of at most {show_bytes(most_bytes)} match {pattern!r}"
        hint = "widen --networks, raise --max-size or lower -n"
        raise NetlatheError(f"{message}, but {count} are asked for", code="device.candidates", hint=hint)
    rows = [one.row for one in candidates]
    needed = cover(rows, [one.params for one in candidates])[:count]
    return [candidates[i] for i in design(rows, count, always=needed)]


def matching(pattern: str) -> list[str]:
    """The names that match; raises NetlatheError with the nearest where none does."""
    names = [*zoo.names(), *NARROWED]
    chosen = [name for name in names if fnmatchcase(name, pattern)]
    if not chosen:
        raise unknown("network", pattern, names, code="zoo.unknown_name")
    return chosen


def kit_network(name: str, most_bytes: int, runtime: str) -> KitNetwork | None:
    """A network of one image at both resolutions; None where it is too large, too short to time, or has no two."""
    (network,) = load(name)
    if len(network.input) != 3 or network.more:
        return None
    graph = network.graph()
    params = sum(op.params for op in graph.ops)
    if 4 * params > most_bytes:
        return None
    try:
        sizes = tuple(network.at(side) for side in resolutions(network))
        graphs = [size.graph() for size in sizes]
    except NetlatheError:
        return None
    if min(sum(op.macs for op in graph.ops) for graph in graphs) < SHORT:
        return None
    return KitNetwork(name, sizes, params, feature_row(graphs[0], runtime))


def resolutions(network: Network) -> Sequence[int]:
    """Two, of which the first is the larger."""
    return SMALL if network.input[-1] <= TINY else LARGE
