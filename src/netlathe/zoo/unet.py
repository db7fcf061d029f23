"""U-Net, and the U-Net of diffusion models.

Ronneberger et al. 2015, Convolutional Networks for Biomedical Image Segmentation, https://arxiv.org/abs/1505.04597,
Fig. 1: a U-Net is two convolutions, a U-Net of the next depth between a pool and an up-convolution, a concatenation
with what was there before, and two convolutions. Without padding the map shrinks, and the skip is cropped.
Ho et al. 2020, Denoising Diffusion Probabilistic Models, https://arxiv.org/abs/2006.11239, appendix B: residual blocks
that are told the time step, self-attention at one resolution, a skip after every block.
"""

from __future__ import annotations

from netlathe.arch.build import conv, residual, seq
from netlathe.arch.combinators import Concat, Dag, Identity, Seq, Vertex
from netlathe.arch.joins import Add, Cat, Condition, Upsample
from netlathe.arch.layers import Act, Conv, ConvTranspose, Linear, Norm
from netlathe.arch.leaf import Times, positive
from netlathe.arch.node import Node, Size, block
from netlathe.arch.pools import Pool
from netlathe.arch.tokens import Attention, Grid, Map, Sinusoid
from netlathe.zoo.registry import Variant, variant

silu = Act("silu")


@block
def double(width: Size, padded: bool) -> Node:
    """relu(3x3(relu(3x3(x)))); padded, with batch norm."""
    options = {} if padded else {"padding": 0, "norm": None}
    return seq(first=conv(width, 3, **options), second=conv(width, 3, **options))  # type: ignore[arg-type]


@block
def level(width: Size, depth: int, padded: bool) -> Node:
    """decode([x, up(U-Net of the next depth(down(x)))]) of encode(x); only encode(x) at the bottom."""
    if depth == 0:
        return double(width, padded)
    below = seq(down=Pool("max", 2), deeper=level(2 * width, depth - 1, padded), up=ConvTranspose(width))
    both = Concat(("skip", ""), (Identity(), below), crop=True)
    return Seq(("encode", "", "decode"), (double(width, padded), both, double(width, padded)))


def unet(width: Size = 64, depth: int = 4, padded: bool = False, classes: Size = 2) -> Node:
    """Paper: four times down and up; `padded` keeps the size and adds batch norm, as later networks do."""
    positive(depth=depth)
    return seq(level(width, depth, padded), head=Conv(classes, bias=True))


@block
def time(width: Size) -> Node:
    """silu(linear(silu(linear(sines of t)))): what every block is told of the time step."""
    wide = 4 * width
    return seq(sines=Sinusoid(width), hidden=Linear(wide), act1=silu, out=Linear(wide), act2=silu)


@block
def attention(norm: Norm) -> Node:
    """x + f(x), f = norm, one head of self-attention over all positions, linear."""
    return residual(norm=norm, grid=Grid(), qkv=Linear(Times(3)), attend=Attention(1), out=Linear(None), map=Map())


@block
def timed(out: Size, project: bool, attends: bool, norm: Norm) -> Node:
    """x + f(x, t), f = norm, silu, 3x3, shift of the channels by linear(t), norm, silu, 3x3; then attention or not."""
    vertices = [
        Vertex("first", seq(norm=norm, act=silu, conv=Conv(out, 3, bias=True)), ("in0",)),
        Vertex("time", Linear(out), ("in1",)),
        Vertex("shift", Condition(), ("first", "time")),
        Vertex("second", seq(norm=norm, act=silu, conv=Conv(out, 3, bias=True)), ("shift",)),
    ]
    if project:
        vertices.append(Vertex("shortcut", Conv(out, bias=True), ("in0",)))
    vertices.append(Vertex("add", Add(), ("second", "shortcut" if project else "in0")))
    if attends:
        vertices.append(Vertex("attention", attention(norm), ("add",)))
    return Dag(2, tuple(vertices))


def unet_diffusion(
    width: Size = 128,
    widths: tuple[int, ...] = (1, 2, 2, 2),
    depth: int = 2,
    attend: tuple[int, ...] = (2,),
    groups: int = 32,
    channels: Size = 3,
) -> Node:
    """What to subtract from a noisy image, given the image and its time step.

    Level i has `depth` blocks of width * widths[i - 1] channels, and attention where `attend` names it.
    """
    positive(depth=depth)
    norm = Norm("group", eps=1e-6, groups=groups)
    vertices = [
        Vertex("time", time(width), ("in1",)),
        Vertex("stem", Conv(width, 3, bias=True), ("in0",)),
    ]
    last, wide = "stem", width
    skips = [(last, wide)]

    def add(name: str, body: Node, *reads: str) -> str:
        vertices.append(Vertex(name, body, reads))
        return name

    def block(name: str, read: str, before: Size, after: Size, attends: bool) -> str:
        return add(name, timed(after, before != after, attends, norm), read, "time")

    for i, times in enumerate(widths, 1):
        for j in range(1, depth + 1):
            last, wide = block(f"down{i}_block{j}", last, wide, width * times, i in attend), width * times
            skips.append((last, wide))
        if i < len(widths):
            last = add(f"down{i}_halve", Conv(None, 3, 2, padding="same", bias=True), last)
            skips.append((last, wide))
    last = block("middle_block1", last, wide, wide, True)
    last = block("middle_block2", last, wide, wide, False)
    for i, times in reversed(list(enumerate(widths, 1))):
        for j in range(1, depth + 2):
            skip, more = skips.pop()
            last = add(f"up{i}_cat{j}", Cat(), last, skip)
            last, wide = block(f"up{i}_block{j}", last, wide + more, width * times, i in attend), width * times
        if i > 1:
            last = add(f"up{i}_double", seq(upsample=Upsample(2), conv=Conv(None, 3, bias=True)), last)
    add("head", seq(norm=norm, act=silu, conv=Conv(channels, 3, bias=True)), last)
    return Dag(2, tuple(vertices))


NETWORKS: dict[str, Variant] = {
    "unet": variant(unet, input=(1, 572, 572)),
    "unet_padded": variant(unet, padded=True, input=(3, 256, 256)),
    "unet_diffusion": variant(unet_diffusion, width=64, widths=(1, 2, 2), depth=1, input=(3, 32, 32), more=((1,),)),
    "ddpm_cifar10": variant(unet_diffusion, input=(3, 32, 32), more=((1,),)),
}
