"""Devices: cards of figures with sources, roofline, predicted latency, microcontroller fit. Nothing is measured."""
