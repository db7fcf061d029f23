"""A kit: a folder of small networks to measure on a device that cannot install Netlathe, and what measures them."""
