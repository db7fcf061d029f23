"""A clock that is wrong: Python imports this file first where its folder is on PYTHONPATH.

time.time and time.time_ns are $TORTURE_CLOCK_S seconds ahead; dates from `datetime`, times of files and the monotonic
clock stay right, so that the clocks of a machine contradict one another as they do after a jump.
"""

from __future__ import annotations

import os
import time

AHEAD_S = int(os.environ.get("TORTURE_CLOCK_S", "0"))
true_time, true_time_ns = time.time, time.time_ns
if AHEAD_S:
    time.time = lambda: true_time() + AHEAD_S
    time.time_ns = lambda: true_time_ns() + AHEAD_S * 10**9
