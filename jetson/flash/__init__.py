"""A careful wrapper around NVIDIA's own initrd flash, for the PC: checks, shows, asks, logs.

It writes nothing to a device itself and knows no command but those of commands.json. Not verified
on hardware: written after NVIDIA's public documentation and scripts.
"""
