"""Networks that somebody else wrote become a Graph: a torch module by its real forward, an ONNX file by its nodes."""
