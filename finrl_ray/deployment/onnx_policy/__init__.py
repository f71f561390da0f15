"""An agent's policy as ONNX."""
