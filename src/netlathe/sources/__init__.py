"""Where candidates come from, a file each."""
