"""A Transformer encoder for text.

Devlin et al. 2019, BERT, https://arxiv.org/abs/1810.04805, in the small sizes of Turc et al. 2019, Well-Read Students
Learn Better, https://arxiv.org/abs/1908.08962. Token ids become vectors, and each block norms after the addition, as
Vaswani et al. 2017 do. One segment only, so its embedding is part of the positions; positions are those of the input.
"""

from __future__ import annotations

from netlathe.arch.build import seq, stage
from netlathe.arch.layers import Act, Linear, Norm
from netlathe.arch.node import Node, Size, block
from netlathe.arch.tokens import Attention, Embedding, FirstToken, Position
from netlathe.zoo.blocks import attention, mlp
from netlathe.zoo.registry import Variant, variant

layer_norm = Norm("layer", eps=1e-12)


@block
def encoder_block(heads: Size) -> Node:
    """norm(mlp(norm(attention(x)))), each x + f(x)."""
    return seq(attention=attention(Attention(heads)), norm1=layer_norm, mlp=mlp(4), norm2=layer_norm)


def text_encoder(width: Size, depth: int, heads: Size, vocabulary: int = 30_522, classes: Size = 2) -> Node:
    """Embedding, positions, `depth` encoder blocks, classifier on the first token."""
    return seq(
        embedding=seq(token=Embedding(vocabulary, width), position=Position(), norm=layer_norm),
        encoder=stage(encoder_block(heads), depth),
        head=seq(select=FirstToken(), hidden=Linear(width), act=Act("tanh"), classifier=Linear(classes)),
    )


NETWORKS: dict[str, Variant] = {
    "text_encoder_tiny": variant(text_encoder, width=128, depth=2, heads=2, input=(128,)),
    "text_encoder": variant(text_encoder, width=512, depth=4, heads=8, input=(128,)),
}
