"""Where and how a network is to run, and what it costs there."""
