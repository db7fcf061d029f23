"""Real weights for an expression: from timm, torchvision, a file, or any torch module.

loaded = from_timm("resnet50.a1_in1k")
save_onnx(loaded.network, "net.onnx", loaded.tensors)
"""

from netlathe.lower.pretrained import LoadedWeights, from_file, from_module, from_timm, from_torchvision
from netlathe.lower.weights import random_weights

__all__ = ["LoadedWeights", "from_file", "from_module", "from_timm", "from_torchvision", "random_weights"]
