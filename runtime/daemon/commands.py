"""What can be commanded of a running daemon: of its models, and of who may come in."""

from __future__ import annotations

from scanside.runtime.daemon.doorkeeper import Doorkeeper
from scanside.runtime.daemon.models import Models
from scanside.runtime.daemon.register import Register
from scanside.runtime.errors import KeyFileError


class Commands:
    """Belongs to the socket thread. door: None where no keys are asked for."""

    def __init__(self, models: Models, register: Register, door: Doorkeeper | None) -> None:
        self.situation = models.situation
        self.drain = models.drain
        self.swap = models.swap
        self._models = models
        self._register = register
        self._door = door

    def reload(self) -> str:
        """Read the clients' keys and the trusted keys again; what is wrong with the ones does not
        keep the others from being read. Sessions of clients that may not come in any more end.

        Raises KeyFileError where any could not be read: see `Doorkeeper.reload` and
        `Models.reload` for what holds then.
        """
        told: list[str] = []
        wrong: list[KeyFileError] = []
        for reload in (self._reload_clients, self._models.reload):
            try:
                told.append(reload())
            except KeyFileError as error:
                wrong.append(error)
        if wrong:
            raise KeyFileError(
                "; ".join(error.message for error in wrong), next_step=wrong[0].next_step
            )
        return "; ".join(text for text in told if text)

    def _reload_clients(self) -> str:
        if self._door is None:
            return ""
        try:
            return self._door.reload()
        finally:
            self._register.shut_out(self._door.allows)
