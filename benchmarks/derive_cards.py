"""What measured devices have in common, and cards of those devices: python benchmarks/derive_cards.py

Writes populations.json, cores.json and the models of the cards in src/netlathe/device from ../shared/data
(`device_tables` has the sources and the method). A card gets a model of every setting of its device whose networks,
each left out in turn, are predicted within USEFUL on average; the figures of a card that is there already are kept.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
from device_tables import (
    DATA,
    SHARED,
    Estimate,
    Sample,
    Setting,
    clusters,
    described,
    devices,
    estimate,
    facts,
    hub_settings,
    marginal,
    ncnn_settings,
    sample,
    without,
)  # fmt: skip

from netlathe.device import card as cards
from netlathe.device.card import CardFigure, DeviceCard, Model
from netlathe.device.cores import CoreGroup
from netlathe.device.fit import error
from netlathe.device.measurements import fit_models, read
from netlathe.device.population import Population, coefficients, left_out, posterior, unseen_parts
from netlathe.stats.quantiles import quantile

OUT = Path(__file__).parent.parent / "src/netlathe/device"
DAY = "2026-11-29"
COVER = 0.87  # of the networks of a device left out, inside the interval of its cores
USEFUL = 0.25
LONE = 1.35  # how much farther a device is from the one other with its cores than from several
SPREAD, FREEDOM, SHAPE = 0.3, 3.0, 0.15  # a core's spread before it is measured, its weight in devices; of networks
NCNN = "Tencent/ncnn @a4d2ea1 benchmark/README.md, BSD-3-Clause"
PIXEL = (
    "tensorflow/models research/slim/nets/mobilenet/README.md, column Mobile CPU (ms) Pixel 1, Apache-2.0; "
    "MobileNetV1: Table 4 of the MobileNetV2 paper"
)
STM = (
    "STMicroelectronics/stm32ai-modelzoo image_classification/mobilenetv1 and mobilenetv2, README.md @6f10965e, "
    "measured figures of STM32H747I-DISCO (Cortex-M7, 400 MHz), STM32Cube.AI 10.0.0"
)
HUB = "quic/ai-hub-models @52c080d2 perf.yaml, BSD-3-Clause"
HUB_CARDS = {
    "Samsung Galaxy S25": ("galaxy-s25", "Samsung Galaxy S25 (Snapdragon 8 Elite)", "phone"),
    "Snapdragon 8 Elite Gen 5 QRD": ("sd-8-elite-gen-5", "Qualcomm Snapdragon 8 Elite Gen 5", "phone"),
    "QCS8550 (Proxy)": ("sd-8-gen-2", "Qualcomm Snapdragon 8 Gen 2", "phone"),
    "QCS8450 (Proxy)": ("sd-8-gen-1", "Qualcomm Snapdragon 8 Gen 1 (by QCS8450)", "phone"),
    "Snapdragon 7 Gen 4 QRD": ("sd-7-gen-4", "Qualcomm Snapdragon 7 Gen 4", "phone"),
    "Dragonwing IQ-9075 EVK": ("dragonwing-iq-9075", "Qualcomm Dragonwing IQ-9075", "single-board computer"),
    "Dragonwing Q-6690 MTP": ("dragonwing-q-6690", "Qualcomm Dragonwing Q-6690", "single-board computer"),
    "Dragonwing RB3 Gen 2 Vision Kit": ("rb3-gen-2", "Qualcomm RB3 Gen 2 (QCS6490)", "single-board computer"),
    "SA8775P ADP": ("sa8775p", "Qualcomm SA8775P", "car computer"),
    "SA8295P ADP": ("sa8295p", "Qualcomm SA8295P", "car computer"),
    "SA7255P ADP": ("sa7255p", "Qualcomm SA7255P", "car computer"),
}


def population(name: str, s: Sample, e: Estimate, source: str) -> Population:
    """The prior of a device of which nothing is inside."""
    mean, covariance = marginal(e)
    count = len({setting.device for setting in s.settings})
    runtimes = list(dict.fromkeys(setting.runtime for setting in s.settings))
    return Population(name, runtimes, mean.tolist(), covariance.tolist(), float(e.variance) ** 0.5, count, source)


def spreads(s: Sample, e: Estimate) -> dict[str, tuple[int, float]]:
    """By core: the devices, and the standard deviation of log time of a device from the others with that core."""
    rows = {}
    for core in {setting.core for setting in s.settings}:
        names = {setting.device for setting in s.settings if setting.core == core}
        levels = [
            float(np.mean([level(e.rest[i]) for i, x in enumerate(s.settings) if (x.core, x.device) == (core, name)]))
            for name in names
        ]
        apart = [value * (1 + 1 / len(names)) for value in levels]
        spread = ((FREEDOM * SPREAD**2 + sum(a * a for a in apart)) / (FREEDOM + len(names)) + SHAPE**2) ** 0.5
        rows[core] = len(names), spread * (LONE if len(names) == 1 else 1.0)
    return rows


def level(rest: Any) -> float:
    """How far the parts that take most of the time are off, on average."""
    return float(np.median(rest[[1, 2, 9, 10, 12]]))


def expectations(s: Sample, full: Estimate) -> list[tuple[float, float, int, str]]:
    """Every measured network of every device left out: log of measured / expected, spread, other devices, core."""
    rows = []
    for device in dict.fromkeys(setting.device for setting in s.settings):
        e = without(s, full, device)
        rest = sample_without(s, device)
        by_core = spreads(rest, e)
        for i, setting in enumerate(s.settings):
            if setting.device == device:
                hidden = described(e, setting.cores)
                count, spread = by_core.get(setting.core, (0, 1.0))
                for n in np.flatnonzero(s.there[i]):
                    off = float(s.log_ms[i, n] - np.log((np.exp(hidden) * s.x[n]).sum()))
                    rows.append((off, spread, count, setting.core))
    return rows


def carried(s: Sample, full: Estimate) -> float:
    """How far, times, COVER of the networks are from a forecast by the same device with the nearest other threads."""
    apart = []
    for device in dict.fromkeys(setting.device for setting in s.settings):
        at = [i for i, setting in enumerate(s.settings) if setting.device == device]
        e = without(s, full, device)
        prior = population("cpu", s, e, NCNN)
        for i in at:
            others = [
                j for j in at
                if s.settings[j].core == s.settings[i].core and s.settings[j].threads != s.settings[i].threads
            ]  # fmt: skip
            if others:
                j = min(others, key=lambda j: abs(log(s.settings[j].threads / s.settings[i].threads)))
                own = posterior(prior, s.x[s.there[j]], np.exp(s.log_ms[j, s.there[j]]).tolist())
                hidden = own + described(e, s.settings[i].cores) - described(e, s.settings[j].cores)
                for n in np.flatnonzero(s.there[i]):
                    apart.append(abs(float(s.log_ms[i, n] - np.log((np.exp(hidden) * s.x[n]).sum()))))
    return exp(quantile(apart, COVER))


def sample_without(s: Sample, device: str) -> Sample:
    """The settings of all other devices."""
    keep = np.array([setting.device != device for setting in s.settings])
    return Sample([x for x in s.settings if x.device != device], s.names, s.log_ms[keep], s.there[keep], s.x)


def times(rows: list[tuple[float, float, int, str]], cover: float = COVER) -> float:
    """How many spreads hold that share of the networks of devices left out."""
    return quantile((abs(off) / spread for off, spread, count, _ in rows if count), cover)


def write_cores(s: Sample, e: Estimate) -> None:
    """cores.json."""
    expected = expectations(s, e)
    factor, by_core = times(expected), spreads(s, e)
    covered = [row for row in expected if row[2]]
    mape = sum(exp(abs(off)) - 1 for off, *_ in covered) / len(covered)
    rows: dict[str, dict[str, Any]] = {}
    for name, fact in facts().items():
        rows[name] = {"flops": fact.flops, "half": fact.half}
        if name in by_core and name in e.effects:
            count, spread = by_core[name]
            rows[name] |= {
                "effect": rounded(e.effects[name]),
                "devices": count,
                "spread": round(exp(factor * spread), 3),
            }
    document = {
        "runtime": "ncnn", "date": DAY, "cover": COVER, "mape": round(mape, 3), "carried": round(carried(s, e), 3),
        "slopes": [rounded(row) for row in e.slopes], "source": NCNN,
    }  # fmt: skip
    write_json(OUT / "cores.json", document, "cores", rows)


def rounded(values: Any) -> list[float]:
    """Four digits, which is more than anything here is worth."""
    return [float(f"{value:.4g}") for value in values]


def write_json(path: Path, head: dict[str, Any], name: str, rows: list[Any] | dict[str, Any]) -> None:
    """A line a row: small changes stay readable."""
    if isinstance(rows, dict):
        lines, brackets = [f"{json.dumps(key)}: {json.dumps(row)}" for key, row in rows.items()], "{}"
    else:
        lines, brackets = [json.dumps(row) for row in rows], "[]"
    text = json.dumps(head)[:-1] + f', "{name}": {brackets[0]}\n' + ",\n".join(lines) + f"\n{brackets[1]}}}\n"
    path.write_text(text, encoding="utf-8")


def model_of(setting: Setting, s: Sample, i: int, prior: Population, source: str) -> Model:
    """The model of a setting, with the error of its networks left out in turn."""
    there = np.flatnonzero(s.there[i])
    ms = np.exp(s.log_ms[i, there]).tolist()
    x = s.x[there]
    bar = error([y / p for y, p in zip(ms, left_out(prior, x, ms), strict=True)])
    parts = tuple(rounded(np.exp(posterior(prior, x, ms))))
    return Model(
        runtime=setting.runtime,
        date=DAY,
        networks=len(ms),
        coefficients=coefficients(parts),
        parts=parts,
        unseen=unseen_parts(parts, x),
        error=replace(bar, **{name: float(f"{getattr(bar, name):.4g}") for name in ("mape", "p50", "low", "high")}),
        threads=setting.threads,
        precision=setting.precision,
        held_out="each network left out in turn",
        source=f"{source}: {setting.device.partition('(')[0].strip()}",
    )


CLOCK = "where the heading names no clock of this core: from its description, not looked up again"


def write_card(id_: str, name: str, class_: str, cores: list[CoreGroup], models: list[Model]) -> None:
    """A card with its cores and models; the other figures of the one that is there are kept."""
    path = OUT / "cards" / f"{id_}.toml"
    before = cards.parse(path.read_text(encoding="utf-8")) if path.exists() else DeviceCard(id_, name, class_, DAY, ())
    kept = tuple(f for f in before.figures if f.quantity not in ("cores", "clock") or not cores)
    of_cores = [
        CardFigure(quantity, group.core, value, unit, "datasheet", f"{NCNN}, its heading", note, bool(note))
        for group in cores
        for quantity, value, unit, note in (
            ("cores", group.number, "cores", ""),
            ("clock", group.clock_ghz, "GHz", CLOCK),
        )
    ]
    ways = {(m.runtime, m.precision, m.threads) for m in models}
    others = [m for m in before.models if (m.runtime, m.precision, m.threads) not in ways]
    cards.save(replace(before, figures=(*kept, *of_cores), models=(*others, *models)), path)


def useful_models(s: Sample, prior: Population, source: str, of: Callable[[Setting], bool]) -> list[Model]:
    """A model of every setting that predicts its networks; of two listings of a setting the later one."""
    rows = [model_of(setting, s, i, prior, source) for i, setting in enumerate(s.settings) if of(setting)]
    last = {(m.runtime, m.precision, m.threads): m for m in rows if m.error.mape <= USEFUL}
    return list(last.values())


def write_cards(samples: dict[str, tuple[Sample, str]], priors: dict[str, Population]) -> None:
    """The cards of all devices that measured_devices.csv or HUB_CARDS gives an id."""
    models: dict[str, list[Model]] = defaultdict(list)
    kinds: dict[str, tuple[str, str, list[CoreGroup]]] = {}
    for row in devices():
        if row["id"]:
            groups = clusters(row["clusters"])
            kinds[row["id"]] = row["name"], row["class"], groups

            def mine(setting: Setting, row: dict[str, str] = row, first: str = groups[0].core) -> bool:
                here = next((r for r in devices() if setting.device.startswith(r["heading"])), None)
                return here is row and setting.core in ("", first)  # the small cores alone are nobody's choice

            for kind in ("cpu", "gpu"):
                models[row["id"]] += useful_models(samples[kind][0], priors[kind], NCNN, mine)
    for heading, (id_, name, class_) in HUB_CARDS.items():
        kinds.setdefault(id_, (name, class_, []))
        models[id_] += useful_models(samples["npu"][0], priors["npu"], HUB, lambda s, h=heading: s.device == h)
    for id_, (name, class_, groups) in kinds.items():
        if models[id_]:
            write_card(id_, name, class_, groups, models[id_])
            errors = ", ".join(f"{m.runtime} {m.precision} {m.threads}: {m.error.mape:.0%}" for m in models[id_])
            print(f"{id_:20} {errors}")


def model_of_file(name: str, source: str) -> Model:
    """The model of one of the published tables in benchmarks/data: networks of the zoo, with their ms."""
    (model,) = fit_models(read(DATA / name), DAY)
    parts = tuple(rounded(model.parts))
    table = {name: float(f"{value:.4g}") for name, value in model.coefficients.items()}
    if parts:
        table = coefficients(parts)
    return replace(model, parts=parts, coefficients=table, source=source, note="")


def main() -> None:
    if not SHARED.is_dir():
        sys.exit(f"this needs the public tables in {SHARED}, which are not here")
    ncnn = ncnn_settings()
    samples = {
        "cpu": (sample([s for s in ncnn if s.kind == "cpu"]), NCNN),
        "gpu": (sample([s for s in ncnn if s.kind == "gpu"]), NCNN),
        "npu": (sample(hub_settings()), HUB),
    }
    estimates = {kind: estimate(s) for kind, (s, _) in samples.items()}
    priors = {kind: population(kind, s, estimates[kind], source) for kind, (s, source) in samples.items()}
    rows = [
        {"name": p.name, "runtimes": p.runtimes, "mean": rounded(p.mean), "noise": round(p.noise, 4)}
        | {"devices": p.devices, "source": p.source, "covariance": [rounded(row) for row in p.covariance]}
        for p in priors.values()
    ]
    write_json(OUT / "populations.json", {"date": DAY}, "populations", rows)
    write_cores(samples["cpu"][0], estimates["cpu"])
    write_cards(samples, priors)
    write_card("phone-2016-core", "", "phone", [], [model_of_file("pixel1.csv", PIXEL)])
    write_card("stm32h743", "", "microcontroller", [], [model_of_file("stm32h747.csv", STM)])


if __name__ == "__main__":
    main()
