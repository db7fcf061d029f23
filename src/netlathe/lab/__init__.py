"""The live page: a server on this machine alone, which answers every move of a knob from the cost engine."""
