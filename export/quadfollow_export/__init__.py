"""From a trained Keras model to a proven ONNX file with its contract inside."""
