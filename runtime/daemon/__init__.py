"""The daemon: serves one model over the wire, within deadlines, losing no frame."""
