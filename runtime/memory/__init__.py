"""Memory that a client and a daemon on the same host share, so that pixels are not sent at all."""
