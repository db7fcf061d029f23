"""From a trained network to a folder that runs elsewhere: exported, quantised, compared, measured, described."""
