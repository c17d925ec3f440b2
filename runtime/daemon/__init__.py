"""The ZeroMQ daemon that enhances frames for an appliance."""
