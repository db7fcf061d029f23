"""Student's t and Fisher's F, from scipy."""

from __future__ import annotations

from netlathe.errors import MissingExtra

try:
    from scipy import special
except ImportError as error:
    raise MissingExtra("scipy", "train") from error


def t_quantile(share: float, df: int) -> float:
    """The value below which a t variable lies with the chance `share`."""
    return float(special.stdtrit(df, share))


def t_p(t: float, df: int) -> float:
    """The chance of a t variable at least as far from zero."""
    return 2 * float(special.stdtr(df, -abs(t)))


def f_p(f: float, df: int, df_noise: int) -> float:
    """The chance of an F variable at least as large."""
    return float(special.fdtrc(df, df_noise, f))


def t_shift(df: int, alpha: float, power: float) -> float:
    """How many standard errors the true mean must lie off zero for a two-sided t test to find it with that chance.

    From the noncentral t distribution; that it is found with the wrong sign is left out.
    """
    return float(special.nctdtrinc(df, 1 - power, t_quantile(1 - alpha / 2, df)))
