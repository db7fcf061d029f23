"""Search strategies, one idea a file. The registry is `netlathe.search.strategy.STRATEGIES`."""
