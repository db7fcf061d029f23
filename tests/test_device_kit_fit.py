"""Which networks a kit has; its results become a card where they are of one device and of those networks."""

from __future__ import annotations

import pytest
from command import netlathe

from netlathe.bench.kit import networks
from netlathe.device import card, measurements
from netlathe.device.features import QUANTITIES
from netlathe.device.probe import cover, design
from netlathe.errors import NetlatheError

SIX = ["resnet20@64", "resnet20@32", "resnet32@64", "resnet32@32", "resnet44@64", "resnet44@32"]


def test_a_kit_covers_every_class_of_operators_that_small_files_have():
    chosen = networks.choose_networks("*", 10, 10_000_000, "onnxruntime")
    candidates = [one for name in networks.matching("*") if (one := networks.kit_network(name, 10**7, "onnxruntime"))]

    def classes(some):
        return {name.removesuffix(f".{q}") for one in some for name in one.row for q in QUANTITIES if name.endswith(q)}

    assert classes(chosen) == classes(candidates)
    assert {"matmul", "softmax", "grouped", "depthwise5", "dense3", "norm", "batchnorm", "patches"} <= classes(chosen)
    assert len({one.name for one in chosen}) == 10
    assert all(len({size.input[-1] for size in one.sizes}) == 2 for one in chosen)
    assert 2 * 4 * sum(one.params for one in chosen) < 130e6


def test_what_is_needed_stays_in_a_design():
    rows = [{"a.macs": i + 1.0, "b.macs" if i % 2 else "c.macs": 5.0 - i} for i in range(5)]
    assert cover(rows, [5, 4, 3, 2, 1]) == [4, 3]
    assert {0, 2} <= set(design(rows, 4, always=[0, 2]))
    assert sorted(design(rows, 2, always=[1, 3])) == [1, 3]


LINE = "{network},{ms},onnxruntime,1,fp32,1,board A,1.2,netlathe.kit/1\n"
HEAD = "network,latency_ms,runtime,threads,precision,batch,processor,runtime_version,kit\n"
FILE = HEAD + "".join(LINE.format(network=network, ms=i + 1) for i, network in enumerate(SIX))


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("resnet44@64", "resnet45@64", "did you mean"),
        ("1.2,netlathe.kit/1\nresnet44@64", "1.2,netlathe.kit/9\nresnet44@64", "of a kit 'netlathe.kit/9'"),
        (
            "resnet44@32,6,onnxruntime,1,fp32,1,board A",
            "resnet44@32,6,onnxruntime,1,fp32,1,board B",
            "board A and board B",
        ),
        ("board A,1.2,netlathe.kit/1\nresnet44@64", "board A,1.3,netlathe.kit/1\nresnet44@64", "1.2 and 1.3"),
        ("kit\n", "kit,macs\n", None),
        ("batch,processor", "batch,procesor", "did you mean processor"),
    ],
)
def test_fit_refuses_what_is_of_no_one_device(tmp_path, old, new, part):
    file = tmp_path / "results.csv"
    assert old in FILE
    file.write_text(FILE.replace(old, new, 1))
    if part is None:
        assert len(measurements.read(file)) == 6
        return
    message = netlathe("device", "fit", file, "-o", tmp_path / "a.toml", code=2).stderr
    assert part in message
    assert not (tmp_path / "a.toml").exists()


def test_fit_refuses_a_network_that_has_changed_since_the_kit(tmp_path):
    file = tmp_path / "results.csv"
    file.write_text("network,latency_ms,macs\nresnet20,3,7\n")
    with pytest.raises(NetlatheError, match="resnet20 had 7 MACs in that kit, and has 40813184 here"):
        measurements.read(file)


def test_fit_takes_one_file(tmp_path):
    file = tmp_path / "results.csv"
    file.write_text(FILE)
    for words in ([], [file, "--measurements", file]):
        assert "one file" in netlathe("device", "fit", *words, "-o", tmp_path / "a.toml", code=2).stderr
    netlathe("device", "fit", "--measurements", file, "-o", tmp_path / "a.toml")
    assert card.load(tmp_path / "a.toml").name == "board A"
