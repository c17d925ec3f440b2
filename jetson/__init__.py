"""What a field engineer needs to flash, provision, verify, update and roll back a device.

The verbs arrive with their own stage; nothing in this package was run on hardware.
"""
