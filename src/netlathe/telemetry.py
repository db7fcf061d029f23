"""What libraries would report about their use, switched off. The package does it when it is imported, before any other.

A variable that is already set keeps its value. Nothing is imported here but `os`: `python -m netlathe` still has the
current folder in front of all others when this runs. docs/security.md says how each library was checked.
"""

import os

SWITCHES = {
    "onnxruntime": ("ORT_DISABLE_TELEMETRY", "1"),  # its wheels report to Microsoft: see Privacy.md beside it
    "nncf": ("NNCF_CI", "1"),  # reports to Google Analytics, unless it believes to be under test by its makers
    "ray": ("RAY_USAGE_STATS_ENABLED", "0"),
    "huggingface_hub": ("HF_HUB_DISABLE_TELEMETRY", "1"),
}


def silence() -> None:
    """Set the switches for this process, and so for every child that inherits its environment."""
    for variable, off in SWITCHES.values():
        os.environ.setdefault(variable, off)
