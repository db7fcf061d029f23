"""The folder of a long job, which a later call goes on with: whose it is, its lock, its finished steps, its result."""
