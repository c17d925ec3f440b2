"""The bundles that the corpus asks about, signed with keys of their own."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bundles import write_test_bundle
from scanside.compile.pack import add_plan, sign_bundle
from scanside.runtime.bundle import Bundle
from scanside.runtime.fingerprint import Fingerprint, memory_class
from scanside.runtime.plans import Evidence, plan_keys, settings_of

PLAN = b"a plan, as far as a doctor can see"
NX16 = Fingerprint(
    tensorrt="10.3.0", l4t="36.4.3", driver="12.6", gpu="Orin", capability="8.7",
    memory_gb=memory_class(int(15.3 * (1 << 30))), module="orin-nx-16gb",
)  # fmt: skip
ELSEWHERE = Fingerprint(
    tensorrt="10.3.0", l4t="36.4.7", driver="12.6", gpu="Orin", capability="8.7", memory_gb=16,
    module="orin-nx-16gb",
)  # fmt: skip
NANO8 = Fingerprint(
    tensorrt="10.3.0", l4t="36.4.3", driver="12.6", gpu="Orin", capability="8.7", memory_gb=8,
    module="orin-nano-8gb",
)  # fmt: skip
TARGETS = {
    "good": "orin-nx-16gb-jp6.2",
    "any": "",
    "another target": "agx-orin-64gb-jp6.2",
    "of a Nano": "orin-nano-8gb-jp6.2",
    "large": "orin-nx-16gb-jp6.2",
    "unsigned": "orin-nx-16gb-jp6.2",
    "stranger": "orin-nx-16gb-jp6.2",
    "plan of this device": "orin-nx-16gb-jp6.2",
    "plan built elsewhere": "orin-nx-16gb-jp6.2",
    "plan of a Nano": "",
}
PLANS = {"plan of this device": NX16, "plan built elsewhere": ELSEWHERE, "plan of a Nano": NANO8}
_CUT = 3000


class Bundles:
    """file: of a bundle by its name in the corpus. trust: give a fake device the key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        key, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self._public = key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        for name, target in TARGETS.items():
            budget = 4000 if name == "large" else 512
            file = write_test_bundle(
                self.file(name), target=target, serial=5, memory_budget_mb=budget
            )
            if name != "unsigned":
                sign_bundle(file, stranger if name == "stranger" else key, file)
            if name in PLANS:
                add_plan(file, PLAN, _evidence(Bundle.open(file), PLANS[name]), key)
        self.file("cut").write_bytes(self.file("good").read_bytes()[:-_CUT])

    def file(self, name: str) -> Path:
        return self._folder / f"{name.replace(' ', '-')}.scanside"

    def trust(self, root: Path) -> None:
        folder = root / "etc/scanside/trust"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ours.pub").write_bytes(self._public)


def _evidence(bundle: Bundle, device: Fingerprint) -> Evidence:
    (source, key), *_ = plan_keys(bundle.manifest, device).items()
    return Evidence(
        key=key,
        sha256=hashlib.sha256(PLAN).hexdigest(),
        size=len(PLAN),
        source=source,
        onnx=bundle.manifest.members[source].sha256,
        fingerprint=device,
        settings=settings_of(bundle.manifest),
        label="device",
        layers=2,
        int8=1,
        seconds=1.0,
        scanside="0",
    )
