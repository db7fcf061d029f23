"""The .tflite format: what a file holds, its bytes, int8, and the memory that a microcontroller needs for it."""
