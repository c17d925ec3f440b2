"""The acceptance run on a device, and the signed evidence that it leaves."""
