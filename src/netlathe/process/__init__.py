"""Processes of our own: a worker that answers message by message, or one call; its death is told in a sentence.

Imports nothing: workers whose memory is measured import this file.
"""
