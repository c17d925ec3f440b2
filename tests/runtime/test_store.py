"""The device's store: what it takes, what it makes active, and what it never gives up."""

from __future__ import annotations

import hashlib
import shutil
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bundles import write_test_bundle
from scanside.compile.pack import sign_bundle
from scanside.runtime import store as module
from scanside.runtime.bundle import Bundle
from scanside.runtime.cli.store import store as verb
from scanside.runtime.errors import (
    BundleError,
    DowngradeError,
    PlanError,
    ScansideError,
    SignatureError,
    StoreError,
    UnsignedBundleError,
)
from scanside.runtime.files import locked
from scanside.runtime.fingerprint import Fingerprint
from scanside.runtime.planner import kept_plan
from scanside.runtime.plans import Evidence, plan_keys, settings_of
from scanside.runtime.signing import (
    REVOKED,
    TRUST_VARIABLE,
    Trust,
    load_private_key,
    load_public_key,
    new_key,
)
from scanside.runtime.store import Chosen, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", allow_unsigned=True)


def bundle(folder: Path, serial: int, **changes: object) -> Path:
    name = f"{'-'.join(str(one) for one in changes.values())}{serial}.scanside"
    return write_test_bundle(folder / name, serial=serial, version=f"1.{serial}", **changes)


def put(store: Store, file: Path, *, force: bool = False) -> str:
    """Install and activate."""
    sha256 = store.install(file, force=force).sha256
    store.activate(sha256, force=force)
    return sha256


def test_an_empty_store_has_nothing_and_says_what_to_do(store: Store) -> None:
    assert store.chosen() == Chosen()
    assert store.held() == ()
    for ask in (store.active, store.previous, store.rollback):
        with pytest.raises(StoreError) as raised:
            ask()
        assert raised.value.next_step


def test_what_is_installed_is_not_active_yet(store: Store, tmp_path: Path) -> None:
    file = bundle(tmp_path, 1)
    installed = store.install(file)
    assert installed.added
    assert installed.bundle.identity == Bundle.open(file).identity
    assert store.held() == (installed.sha256,)
    assert store.chosen() == Chosen()
    assert not store.install(file).added


def test_the_copy_is_independent_of_the_file(store: Store, tmp_path: Path) -> None:
    file = bundle(tmp_path, 1)
    put(store, file)
    identity = Bundle.open(file).identity
    file.write_bytes(b"other")
    assert Store(store.folder, allow_unsigned=True).active()[1].identity == identity


def test_active_and_previous_change_together(store: Store, tmp_path: Path) -> None:
    first, second, third = (put(store, bundle(tmp_path, serial)) for serial in (1, 2, 3))
    assert first != second
    assert store.chosen() == Chosen(active=third, previous=second, serials={"test": 3})
    assert store.previous()[0] == second
    store.activate(third)  # again: what was before stays
    assert store.chosen().previous == second


def test_rolling_back_twice_is_where_it_began(store: Store, tmp_path: Path) -> None:
    first, second = (put(store, bundle(tmp_path, serial)) for serial in (1, 2))
    store.rollback()
    assert store.chosen() == Chosen(active=first, previous=second, serials={"test": 2})
    with pytest.raises(StoreError, match="another one"):
        store.rollback(expected=first)
    store.rollback(expected=second)
    assert store.chosen().active == second


def test_an_older_bundle_needs_force_even_after_another_name_and_a_prune(
    store: Store, tmp_path: Path
) -> None:
    put(store, bundle(tmp_path, 5))
    put(store, bundle(tmp_path, 1, name="other"))
    put(store, bundle(tmp_path, 2, name="other"))
    store.prune()
    old = bundle(tmp_path, 4)
    with pytest.raises(DowngradeError):
        store.install(old)
    sha256 = store.install(old, force=True).sha256
    with pytest.raises(DowngradeError):
        store.activate(sha256)
    store.activate(sha256, force=True)
    assert store.chosen().serials == {"test": 4, "other": 2}
    put(store, bundle(tmp_path, 4, description="of the same serial"))


def test_what_was_rolled_back_does_not_let_older_ones_in(store: Store, tmp_path: Path) -> None:
    put(store, bundle(tmp_path, 1))
    put(store, bundle(tmp_path, 5))
    store.rollback()
    with pytest.raises(DowngradeError):
        store.install(bundle(tmp_path, 3))


def test_signatures_count_when_it_is_installed_activated_and_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    monkeypatch.setenv(TRUST_VARIABLE, str(trusted))
    signer = new_key(tmp_path / "key")
    new_key(tmp_path / "stranger")
    shutil.copy(tmp_path / "key.pub", trusted)
    plain = bundle(tmp_path, 1)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    sign_bundle(plain, load_private_key(tmp_path / "key"), ours)
    sign_bundle(plain, load_private_key(tmp_path / "stranger"), theirs)
    store = Store(tmp_path / "store")
    with pytest.raises(UnsignedBundleError):
        store.install(plain)
    with pytest.raises(SignatureError):
        store.install(theirs)
    assert store.held() == ()
    sha256 = put(store, ours)
    (trusted / REVOKED).write_text(signer)
    for refused in (lambda: store.activate(sha256), store.active, lambda: store.install(ours)):
        with pytest.raises(SignatureError, match="revoked"):
            refused()
    elsewhere = Trust.of(load_public_key(tmp_path / "key.pub"))
    assert Store(store.folder, trust=elsewhere).active()[1].signer == signer


def test_pruning_keeps_the_active_and_the_previous_one(store: Store, tmp_path: Path) -> None:
    shas = [put(store, bundle(tmp_path, serial)) for serial in range(4)]
    never = store.install(bundle(tmp_path, 9)).sha256
    assert set(store.prune()) == {*shas[:2], never}
    assert set(store.held()) == set(shas[2:])
    for kept in shas[2:]:
        store.discard(kept)
    assert set(store.held()) == set(shas[2:])


def test_pruning_a_store_with_a_damaged_bundle_removes_nothing(
    store: Store, tmp_path: Path
) -> None:
    for serial in range(3):
        put(store, bundle(tmp_path, serial))
    before = store.held()
    (store.folder / "bundles" / str(store.chosen().previous)).write_bytes(b"damaged")
    with pytest.raises(StoreError, match="damaged"):
        store.prune()
    assert store.held() == before


def test_a_damaged_bundle_is_never_opened_and_can_be_installed_again(
    store: Store, tmp_path: Path
) -> None:
    file = bundle(tmp_path, 1)
    sha256 = put(store, file)
    path = store.folder / "bundles" / sha256
    shutil.copy(bundle(tmp_path, 2), path)  # whole in itself, and not what was installed
    with pytest.raises(StoreError, match="damaged"):
        store.active()
    path.write_bytes(b"")
    with pytest.raises(StoreError, match="damaged"):
        store.activate(sha256)
    store.install(file)
    assert store.active()[0] == sha256


@pytest.mark.parametrize(
    "content",
    [b"", b"{}x", b"[]", b'{"active": "../../etc/passwd"}', b'{"active": 1}', b'{"more": 1}'],
)
def test_a_damaged_choice_is_said_and_nothing_is_guessed(store: Store, content: bytes) -> None:
    (store.folder / "chosen.json").write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read"):
        Store(store.folder, allow_unsigned=True).active()


@pytest.mark.parametrize("name", ["../lock", "lock", "", "A" * 64, "." * 64])
def test_only_a_sha256_names_a_bundle(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="holds no bundle"):
        store.open(name)


def test_what_is_no_bundle_is_not_taken(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no bundle")
    (tmp_path / "folder").mkdir()
    for name in ("x", "folder", "none"):
        with pytest.raises(BundleError):
            store.install(tmp_path / name)
    assert store.held() == ()


def test_two_that_change_it_at_once_take_turns(store: Store, tmp_path: Path) -> None:
    files = [bundle(tmp_path, serial) for serial in range(4)]
    shas = [store.install(file).sha256 for file in files]
    errors: list[Exception] = []

    def work(number: int) -> None:
        try:
            mine = Store(store.folder, allow_unsigned=True)
            for turn in range(8):
                mine.install(files[number], force=True)
                mine.activate(shas[(number + turn) % 4], force=True)
                assert mine.active()[1].manifest.name == "test"
                mine.prune()
        except StoreError as error:
            # Another one pruned it between the two steps: said, and nothing is broken.
            assert "holds no bundle" in error.message  # noqa: PT017
        except Exception as error:  # noqa: BLE001 - asserted on below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert store.active()[0] == store.chosen().active


def test_a_lock_that_is_held_is_waited_for_and_not_for_ever(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_S", 0.1)
    with locked(store.folder / "lock", 1), pytest.raises(StoreError, match="lock"):
        store.prune()
    store.prune()


def test_a_folder_that_cannot_be_had_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be read or changed"):
        Store(tmp_path / "file" / "store")


# Plans

ORIN = Fingerprint(
    tensorrt="10.3.0", l4t="36.4.3", driver="12.6", gpu="Orin", capability="8.7", memory_gb=16
)
PLAN = b"a plan"


def evidence_of(bundle: Bundle) -> Evidence:
    (source, key), *_ = plan_keys(bundle.manifest, ORIN).items()
    return Evidence(
        key=key,
        sha256=hashlib.sha256(PLAN).hexdigest(),
        size=len(PLAN),
        source=source,
        onnx=bundle.manifest.members[source].sha256,
        fingerprint=ORIN,
        settings=settings_of(bundle.manifest),
        label="device",
        layers=2,
        int8=1,
        seconds=1.0,
        scanside="0",
    )


def test_a_plan_is_kept_where_the_planner_finds_it_and_only_with_its_evidence(
    store: Store, tmp_path: Path
) -> None:
    installed = store.install(bundle(tmp_path, 1)).bundle
    evidence = evidence_of(installed)
    with pytest.raises(PlanError):
        store.keep_plan(b"others", evidence, installed)
    assert not list(store.plans.iterdir())
    store.keep_plan(PLAN, evidence, installed)
    kept = kept_plan(installed, ORIN, store.plans)
    assert kept is not None
    assert kept.path.read_bytes() == PLAN


def test_pruning_removes_plans_of_no_kept_bundle_and_what_was_left_half_done(
    store: Store, tmp_path: Path
) -> None:
    shas = [put(store, bundle(tmp_path, serial, residual=serial / 100)) for serial in (1, 2, 3)]
    for sha256 in shas:
        one = store.open(sha256)
        store.keep_plan(PLAN, evidence_of(one), one)
    (store.plans / f"{'a' * 64}.plan").write_bytes(PLAN)
    (store.plans / f"{'b' * 64}.json").write_bytes(b"no evidence")
    (store.plans / ".c.part").touch()
    dropped, kept = store.open(shas[0]), [store.open(sha256) for sha256 in shas[1:]]
    store.prune()
    assert kept_plan(dropped, ORIN, store.plans) is None
    assert all(kept_plan(one, ORIN, store.plans) for one in kept)
    assert len(list(store.plans.iterdir())) == 4


# The verb


def run(store: Store, *words: object) -> Result:
    options = ["--store", str(store.folder), "--allow-unsigned"]
    return CliRunner().invoke(verb, [*map(str, words), *options])


def test_the_verb_installs_lists_rolls_back_and_prunes(store: Store, tmp_path: Path) -> None:
    for serial in (1, 2, 3):
        result = run(store, "install", bundle(tmp_path, serial))
        assert result.stdout.startswith(f"active: test 1.{serial} ("), result.output
    lines = run(store, "list").stdout.splitlines()
    assert [line.split("  ")[1:] for line in sorted(lines, key=lambda line: line[18:])] == [
        ["test 1.1, serial 1"],
        ["test 1.2, serial 2", "previous"],
        ["test 1.3, serial 3", "active"],
    ]
    assert run(store, "rollback").stdout.startswith("active: test 1.2 (")
    assert run(store, "prune").stdout.startswith("removed ")
    assert len(run(store, "list").stdout.splitlines()) == 2
    refused = run(store, "install", tmp_path / "1.scanside")
    assert isinstance(refused.exception, DowngradeError)
    assert run(store, "install", tmp_path / "1.scanside", "--force").exit_code == 0


def test_the_verb_lists_what_cannot_be_served(store: Store, tmp_path: Path) -> None:
    sha256 = put(store, bundle(tmp_path, 1))
    (store.folder / "bundles" / sha256).write_bytes(b"damaged")
    assert "cannot be served: the bundle" in run(store, "list").stdout


def test_unsigned_bundles_are_taken_by_name_only(store: Store, tmp_path: Path) -> None:
    words = ["install", str(bundle(tmp_path, 1)), "--store", str(store.folder)]
    assert isinstance(CliRunner().invoke(verb, words).exception, ScansideError)
    assert store.held() == ()
