"""Vision Transformer.

Dosovitskiy et al. 2021, An Image is Worth 16x16 Words, https://arxiv.org/abs/2010.11929, section 3.1 and Table 1; the
sizes Ti and S are those of Touvron et al. 2021, DeiT, https://arxiv.org/abs/2012.12877, Table 1. An image is cut into
patches, a patch becomes a token, and the Transformer encoder reads the tokens. The class token leads the answer;
`pool="mean"` (appendix D.3 of the paper) averages the tokens instead. Positions are learned, so another resolution
brings other parameters.
"""

from __future__ import annotations

from netlathe.arch.build import seq, stage
from netlathe.arch.layers import Conv, Linear, Norm
from netlathe.arch.leaf import need
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import GlobalPool
from netlathe.arch.tokens import Attention, ClassToken, FirstToken, Position, Tokens
from netlathe.zoo.blocks import attention, mlp
from netlathe.zoo.registry import Variant, variant

layer_norm = Norm("layer", eps=1e-6)

# Table 1: width, layers, heads.
SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}


@block
def encoder_block(heads: Size, expansion: Size = 4) -> Node:
    """mlp(attention(x)), each x + f(norm(x))."""
    return seq(attention=attention(Attention(heads), layer_norm), mlp=mlp(expansion, layer_norm))


def transformer(stem: Node, depth: int, heads: Size, expansion: Size, pool: str, classes: Size) -> Node:
    """The positions of the stem's map as tokens, `depth` encoder blocks, classifier on a token or on the mean."""
    need(pool in ("token", "mean"), f"pool must be token or mean, not {pool!r}")
    by_token = pool == "token"
    extra = {"token": ClassToken()} if by_token else {}
    # The norm works token by token: on the one token that is read, or on all that are averaged.
    last = {"select": FirstToken(), "norm": layer_norm} if by_token else {"norm": layer_norm, "pool": GlobalPool()}
    return seq(
        stem=stem,
        tokens=Tokens(),
        **extra,
        position=Position(),
        encoder=stage(encoder_block(heads, expansion), depth),
        head=seq(**last, classifier=Linear(classes)),
    )


def vit(
    width: Size,
    depth: int,
    heads: Size,
    patch: int = 16,
    expansion: Size = 4,
    pool: str = "token",
    classes: Size = 1000,
) -> Node:
    """One token a patch of patch x patch pixels: a convolution with as large a stride."""
    return transformer(Conv(width, patch, patch, padding=0, bias=True), depth, heads, expansion, pool, classes)


NETWORKS: dict[str, Variant] = {
    f"vit_{size}_patch{patch}": variant(vit, width=width, depth=depth, heads=heads, patch=patch)
    for patch in (16, 32)
    for size, (width, depth, heads) in SIZES.items()
}
NETWORKS["vit_base_patch16_gap"] = variant(vit, **NETWORKS["vit_base_patch16"].free, pool="mean")
