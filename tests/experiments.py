"""Studies that tests are made of."""

from netlathe.train.experiment import grid


def study_of(
    networks=("A", "B"), recipes=("x", "y"), fractions=(1.0,), seeds=5, content=lambda *cell: str(cell), **more
):
    return grid.plan_experiment(
        networks, recipes, fractions, range(seeds), content=content, settings={"data": "photos"} | more, facts={}
    )


def reached(percent, images=1000, macs=5000, test=True):
    return grid.RunResult(percent / 100, percent / 100 if test else None, images, macs, 1.0)
