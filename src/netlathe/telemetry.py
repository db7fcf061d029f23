"""What libraries would report about their use, switched off. The package does it when it is imported, before any other.

A variable that is already set keeps its value, and a reporter that is already imported stays. Nothing is imported here
but `os` and `sys`: `python -m netlathe` still has the current folder in front of all others when this runs.
docs/security.md says how each library was checked.
"""

import os
import sys

SWITCHES = {
    "onnxruntime": ("ORT_DISABLE_TELEMETRY", "1"),  # its wheels report to Microsoft: see Privacy.md beside it
    "ray": ("RAY_USAGE_STATS_ENABLED", "0"),
    "huggingface_hub": ("HF_HUB_DISABLE_TELEMETRY", "1"),
}
# OpenVINO, when it is imported, and NNCF, when it quantises, report to Google Analytics by this package. No variable
# keeps them from it; both do without it where it cannot be imported.
REPORTER = "openvino_telemetry"


def silence() -> None:
    """Set the switches for this process, and the variables for every child that inherits its environment."""
    for variable, off in SWITCHES.values():
        os.environ.setdefault(variable, off)
    sys.modules.setdefault(REPORTER, None)  # type: ignore[arg-type]  # importing it now raises ImportError
