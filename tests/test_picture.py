"""The picture of a network is valid SVG in which widths are to scale: hourglass and barrel are visible."""

from xml.etree import ElementTree

import pytest
from command import netlathe

from netlathe import zoo
from netlathe.report.picture import COLOURS, groups, picture

SVG = "{http://www.w3.org/2000/svg}"


def polygons(name):
    """(class, width of the upper edge, width of the lower edge, title) of every band."""
    found = []
    for polygon in ElementTree.fromstring(picture(zoo.get(name))).iter(f"{SVG}polygon"):
        xs = [float(point.split(",")[0]) for point in polygon.get("points").split()]
        found.append((polygon.get("class"), xs[1] - xs[0], xs[2] - xs[3], polygon.find(f"{SVG}title").text))
    return found


def block(name, path):
    return [(kind, before, after) for kind, before, after, title in polygons(name) if title.startswith(f"{path}.")]


def test_a_bottleneck_is_an_hourglass():
    (_, before, waist), (kind, *process), (_, again, after) = block("resnet50", "stage3.block2")
    assert kind == "dense"
    assert before == after == pytest.approx(4 * waist, rel=0.01)
    assert process == [waist, waist] == [again, again]


def test_an_inverted_bottleneck_is_a_barrel():
    (_, before, belly), (kind, *process), (_, again, after) = block("mobilenetv2", "stage4.block2")
    assert kind == "depthwise"
    assert before == after == pytest.approx(belly / 6, rel=0.01)
    assert process == [belly, belly] == [again, again]


def test_blocks_that_look_alike_are_drawn_once_and_counted():
    found = {group.path: group.repeats for group in groups(zoo.get("resnet152").graph())}
    assert found["stage3.block2"] == 35
    assert "stage3.block3" not in found


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_can_be_drawn(name):
    root = ElementTree.fromstring(picture(zoo.get(name)))
    width = float(root.get("viewBox").split()[2])
    for kind, before, after, _ in polygons(name):
        assert kind.split()[0] in COLOURS
        assert 0 <= before <= width
        assert 0 < after <= width


def test_arch_writes_the_picture(tmp_path):
    file = tmp_path / "net.svg"
    netlathe("arch", "vgg11", "--svg", file)
    assert "vgg11, 3x224x224" in file.read_text()
    assert list(tmp_path.iterdir()) == [file]
    nowhere = tmp_path / "missing" / "net.svg"
    done = netlathe("arch", "vgg11", "--svg", nowhere, code=2)
    assert "cannot write" in done.stderr
