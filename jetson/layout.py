"""Where everything lies on a device, and who it belongs to.

Absolute paths of the device's own system: `Machine.path` gives where one lies here.
"""

from __future__ import annotations

USER = "scanside"
UNIT = "scanside.service"

APPLICATION = "/opt/scanside"
VERSIONS = f"{APPLICATION}/versions"
"""A virtual environment each, by the application's version; never changed once it is whole."""
CURRENT = f"{APPLICATION}/current"
PREVIOUS = f"{APPLICATION}/previous"
"""Links to two of the versions, changed by rename."""

SETTINGS = "/etc/scanside"
TRUST = f"{SETTINGS}/trust"
WIRE_KEYS = f"{SETTINGS}/wire"
ENVIRONMENT = f"{SETTINGS}/scanside.env"
"""What a site may choose, read by the unit: address, threads, port of the metrics."""

STORE = "/var/lib/scanside"
LOGS = "/var/log/scanside"
RUNTIME = "/run/scanside"
CONTROL = f"{RUNTIME}/control"
ADDRESS = f"ipc://{RUNTIME}/scanside.sock"

UNITS = "/etc/systemd/system"
DEVICES_DROP_IN = f"{UNITS}/{UNIT}.d/devices.conf"
