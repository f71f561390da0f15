"""TensorBoard, MLflow, Weights & Biases and Ray's dashboard."""
