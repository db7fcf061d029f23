"""Student's t and Fisher's F distributions."""

from __future__ import annotations


def t_quantile(share: float, df: float) -> float:
    """The value below which a t variable of `df` degrees of freedom lies with the chance `share`."""
    from scipy import special

    return float(special.stdtrit(df, share))


def t_half_width(sd: float, n: int, confidence: float = 0.95) -> float:
    """Half the interval of the mean of n >= 2 values of standard deviation `sd`."""
    half: float = sd / n**0.5 * t_quantile((1 + confidence) / 2, n - 1)
    return half


def t_p_value(t: float, df: int) -> float:
    """The chance of a t variable at least as far from zero."""
    from scipy import special

    return 2 * float(special.stdtr(df, -abs(t)))


def t_shift(df: int, alpha: float, power: float) -> float:
    """How many standard errors the true mean must lie off zero for a two-sided t test to find it with that chance.

    From the noncentral t distribution; that it is found with the wrong sign is left out.
    """
    from scipy import special

    return float(special.nctdtrinc(df, 1 - power, t_quantile(1 - alpha / 2, df)))


def f_p_value(f: float, df: int, df_noise: int) -> float:
    """The chance of an F variable at least as large."""
    from scipy import special

    return float(special.fdtrc(df, df_noise, f))
