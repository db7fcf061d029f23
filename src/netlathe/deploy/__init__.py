"""From a trained network to a folder that runs elsewhere: baked, quantised, compared, measured, described."""
