"""The claims of the lecture, each an executable check: what is said, what is published, what is computed."""
