"""Expressions as .tflite files, directly: channels last throughout, no TensorFlow."""
