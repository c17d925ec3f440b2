"""Signatures: who made a bundle, whom this machine trusts, and what a forger can do."""

from __future__ import annotations

import io
import shutil
import stat
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from attacks.bundles import archive, members_of, with_manifest
from attacks.mutations import mutate
from bundles import write_test_bundle
from scanside.compile.cli import sign
from scanside.compile.pack import sign_bundle
from scanside.runtime.bundle import (
    MODEL,
    SIGNATURE,
    Bundle,
    insist_on_signature,
    read_bundle,
    refuse_downgrade,
)
from scanside.runtime.cli.keys import keys as keys_verb
from scanside.runtime.cli.verify import verify
from scanside.runtime.errors import (
    BundleError,
    DowngradeError,
    KeyFileError,
    OutputExistsError,
    SignatureError,
    UnsignedBundleError,
)
from scanside.runtime.signing import Trust, key_id, load_private_key, load_public_key, new_key

MUTATIONS = 100_000


def call(verb: click.Command, *words: str | Path) -> str:
    result = CliRunner().invoke(verb, [str(word) for word in words])
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("first", "second", "third"):
        new_key(folder / name)
    return folder


@pytest.fixture
def signed(tmp_path: Path, keys: Path) -> Path:
    path = write_test_bundle(tmp_path / "model.scanside")
    sign_bundle(path, load_private_key(keys / "first"), path)
    return path


def trusting(folder: Path, keys: Path, *names: str, revoked: str = "") -> Trust:
    folder.mkdir(exist_ok=True)
    for name in names:
        shutil.copy(keys / f"{name}.pub", folder)
    if revoked:
        identity = key_id(load_public_key(keys / f"{revoked}.pub"))
        (folder / "revoked").write_text(f"# lost on a train\n{identity}  # {revoked}\n\n")
    return Trust.load(folder)


def test_a_signature_is_verified_and_changes_nothing_else(tmp_path, keys, signed):
    plain = Bundle.open(write_test_bundle(tmp_path / "plain.scanside"))
    bundle = Bundle.open(signed, trusting(tmp_path / "trust", keys, "first"))
    assert bundle.signer == key_id(load_public_key(keys / "first.pub"))
    assert bundle.identity == plain.identity
    assert set(bundle.names) - set(plain.names) == {SIGNATURE}
    assert all(bundle.member(name) == plain.member(name) for name in plain.names)
    assert not list(tmp_path.glob(".*.part"))


def test_two_keys_are_trusted_while_one_follows_the_other(tmp_path, keys, signed):
    both = trusting(tmp_path / "both", keys, "first", "second")
    assert Bundle.open(signed, both).signed
    again = sign_bundle(signed, load_private_key(keys / "second"), tmp_path / "again.scanside")
    assert again.signer == key_id(load_public_key(keys / "second.pub"))
    assert Bundle.open(tmp_path / "again.scanside", both).signed
    with pytest.raises(KeyFileError, match="at most 2"):
        trusting(tmp_path / "both", keys, "third")


def test_unknown_rotated_out_and_revoked_keys_are_refused(tmp_path, keys, signed):
    with pytest.raises(SignatureError, match="none of the keys"):
        Bundle.open(signed, trusting(tmp_path / "later", keys, "second", "third"))
    with pytest.raises(SignatureError, match="revoked"):
        Bundle.open(signed, trusting(tmp_path / "still", keys, "first", "second", revoked="first"))


def test_where_nobody_is_trusted_nothing_is_signed(signed):
    assert not Bundle.open(signed, Trust()).signed
    assert not Bundle.open(signed).signed  # the tests' own trust folder is empty


def test_trust_is_read_from_the_environment(tmp_path, keys, signed, monkeypatch):
    trusting(tmp_path / "trust", keys, "first")
    monkeypatch.setenv("SCANSIDE_TRUST", str(tmp_path / "trust"))
    assert Bundle.open(signed).signed
    monkeypatch.setenv("SCANSIDE_TRUST", str(tmp_path / "nowhere"))
    with pytest.raises(KeyFileError):
        Bundle.open(signed)


@pytest.mark.parametrize("line", ["first", "abc", "é" * 64])
def test_a_revocation_that_cannot_be_read_stops_everything(tmp_path, keys, line):
    trusting(tmp_path / "trust", keys, "first")
    (tmp_path / "trust" / "revoked").write_text(line)
    with pytest.raises(KeyFileError, match="no key id"):
        Trust.load(tmp_path / "trust")


def test_a_signing_key_is_its_owners_alone(keys, tmp_path):
    path = keys / "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OutputExistsError):
        new_key(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="read by others"):
        load_private_key(path)


def test_what_is_no_ed25519_key_is_refused(tmp_path, keys):
    other = generate_private_key(SECP256R1())
    path = tmp_path / "other"
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    swapped = tmp_path / "swapped"
    shutil.copy(keys / "first.pub", swapped)
    swapped.chmod(0o600)
    empty = tmp_path / "empty"
    empty.touch(0o600)
    for wrong in (path, swapped, empty, tmp_path, tmp_path / "missing"):
        with pytest.raises(KeyFileError):
            load_private_key(wrong)
    with pytest.raises(KeyFileError):
        load_public_key(keys / "first")


def test_a_forger_cannot_change_what_was_signed(tmp_path, keys, signed):
    trust = trusting(tmp_path / "trust", keys, "first")
    raw = signed.read_bytes()
    members = members_of(raw)
    forged = with_manifest(raw, lambda manifest: manifest.update(serial=999))
    other = {**members, MODEL: b"another", SIGNATURE: members[SIGNATURE]}
    for data, error in ((forged, SignatureError), (archive(other), BundleError)):
        with pytest.raises(error):
            read_bundle(io.BytesIO(data), len(data), trust)


def test_every_mutation_is_refused_or_is_the_same_bundle(tmp_path, keys, signed):
    trust = trusting(tmp_path / "trust", keys, "first")
    good = signed.read_bytes()
    members = members_of(good)
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(MUTATIONS):
        data = mutate(good, rng)
        try:
            bundle = read_bundle(io.BytesIO(data), len(data), trust)
            insist_on_signature(bundle, signed)  # one without is refused too
        except BundleError:
            refused += 1
            continue
        assert {name: bundle.member(name) for name in bundle.names} == members
    assert refused > 0.9 * MUTATIONS


def test_an_older_serial_does_not_replace_a_newer_one(tmp_path):
    manifests = {
        serial: Bundle.open(
            write_test_bundle(tmp_path / f"{serial}.scanside", serial=serial)
        ).manifest
        for serial in (3, 4)
    }
    refuse_downgrade(manifests[4], manifests[3])
    refuse_downgrade(manifests[3], manifests[3])
    with pytest.raises(DowngradeError, match="serial 3"):
        refuse_downgrade(manifests[3], manifests[4])


def test_the_verbs_make_sign_and_verify(tmp_path):
    bundle = write_test_bundle(tmp_path / "model.scanside")
    key, trust = tmp_path / "release", tmp_path / "trust"
    trust.mkdir()
    made = call(keys_verb, "new", key)
    shown = call(keys_verb, "show", f"{key}.pub")
    assert made.split()[1] == shown.split()[0]
    with pytest.raises(UnsignedBundleError, match="carries no signature"):
        call(verify, bundle, "--trust", trust)
    call(sign, bundle, "--key", key)
    with pytest.raises(UnsignedBundleError, match="no key is trusted"):
        call(verify, bundle, "--trust", trust)
    shutil.copy(f"{key}.pub", trust)
    assert shown.split()[0][:16] in call(verify, bundle, "--trust", trust)
    older = write_test_bundle(tmp_path / "older.scanside", serial=1)
    newer = write_test_bundle(tmp_path / "newer.scanside", serial=9)
    for one in (older, newer):
        call(sign, one, "--key", key)
    call(verify, newer, "--trust", trust, "--replacing", older)
    with pytest.raises(DowngradeError):
        call(verify, older, "--trust", trust, "--replacing", newer)


def test_a_signature_that_fails_leaves_the_bundle_as_it_was(tmp_path, keys):
    bundle = write_test_bundle(tmp_path / "model.scanside")
    before = bundle.read_bytes()
    (keys / "first").chmod(0o644)
    with pytest.raises(KeyFileError):
        call(sign, bundle, "--key", keys / "first")
    assert bundle.read_bytes() == before
    torn = tmp_path / "torn.scanside"
    torn.write_bytes(before[:-1])
    with pytest.raises(BundleError):
        call(sign, torn, "--key", keys / "second")
    assert torn.read_bytes() == before[:-1]
