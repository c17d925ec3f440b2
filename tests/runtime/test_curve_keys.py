"""Key files of the wire: made whole and private, read with suspicion."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import zmq.auth
from click.testing import CliRunner

from scanside.runtime import curve, signing
from scanside.runtime.cli.keys import keys
from scanside.runtime.curve import ClientKeys, key_id, load_pair, load_public, new_pair
from scanside.runtime.curve import read_clients as read
from scanside.runtime.errors import KeyFileError, OutputExistsError
from wire_keys import let_in, make_client_keys, make_daemon_keys


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    new_pair(tmp_path / "server")
    return tmp_path / "server.key"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_secret_is_never_open_to_others_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    seen: list[int] = []
    genuine = os.open

    def spy(path: Path, flags: int, wanted: int = 0o777, **more: int) -> int:
        descriptor = genuine(path, flags, wanted, **more)
        if flags & os.O_CREAT:
            seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", spy)
    before = os.umask(umask)
    try:
        new_pair(tmp_path / "client")
    finally:
        os.umask(before)
    assert seen[0] == mode(tmp_path / "client.key") == 0o600
    assert mode(tmp_path / "client.pub") == 0o644 & ~umask
    assert sorted(os.listdir(tmp_path)) == ["client.key", "client.pub"]


@pytest.mark.parametrize("name", ["server", "server.key"])
@pytest.mark.parametrize("there", ["server.key", "server.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, name: str, there: str) -> None:
    (tmp_path / there).write_text("precious")
    with pytest.raises(OutputExistsError):
        new_pair(tmp_path / name)
    assert os.listdir(tmp_path) == [there]
    assert (tmp_path / there).read_text() == "precious"


@pytest.mark.parametrize("there", ["server.key", "server.pub"])
def test_not_even_one_that_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    genuine = zmq.curve_keypair

    def slow() -> tuple[bytes, bytes]:
        (tmp_path / there).write_text("precious")
        return genuine()

    monkeypatch.setattr(curve.zmq, "curve_keypair", slow)
    with pytest.raises(OutputExistsError):
        new_pair(tmp_path / "server")
    assert os.listdir(tmp_path) == [there]
    assert (tmp_path / there).read_text() == "precious"


@pytest.mark.parametrize("first_that_fails", [0, 1], ids=["secret", "public"])
def test_an_error_leaves_neither_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_that_fails: int
) -> None:
    done: list[object] = []
    genuine = os.link

    def full(source: Path, target: Path) -> None:
        if len(done) == first_that_fails:
            raise OSError(28, "No space left on device")
        done.append(genuine(source, target))

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(KeyFileError, match="No space"):
        new_pair(tmp_path / "server")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be written") as raised:
        new_pair(tmp_path / "none" / "server")
    assert "folder" in raised.value.next_step


def test_other_zeromq_programs_read_the_files(pair: Path) -> None:
    ours = load_pair(pair)
    assert zmq.auth.load_certificate(pair) == (ours.public, ours.secret)
    assert zmq.auth.load_certificate(pair.with_suffix(".pub")) == (ours.public, None)
    assert load_public(pair.with_suffix(".pub")) == ours.public
    assert ours.secret.decode() not in repr(ours)


def test_we_read_the_files_of_other_zeromq_programs(tmp_path: Path) -> None:
    public, secret = zmq.auth.create_certificates(tmp_path, "other")
    Path(secret).chmod(0o600)
    assert load_pair(Path(secret)).public == load_public(Path(public))


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_secret_that_others_may_open_is_refused_with_the_way_out(pair: Path, bits: int) -> None:
    pair.chmod(bits)
    with pytest.raises(KeyFileError) as raised:
        load_pair(pair)
    assert f"chmod 600 {pair}" in raised.value.next_step
    pair.chmod(0o400)
    load_pair(pair)


def replaced(old: str, new: str):
    return lambda text: text.replace(old, new)


BROKEN = {
    "empty": lambda text: "",
    "short": lambda text: text[:-3],
    "no quote": replaced('"', ""),
    "another letter": replaced('-key = "', '-key = "~'),
    "too long": replaced('-key = "', '-key = "a'),
    "over 2^32": lambda text: text[: text.index('"')] + '"' + "#" * 40 + '"\n',
    "twice": lambda text: text + text,
    "large": lambda text: text + "#" * 5000,
    "binary": lambda text: "\0" * 100,
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_key_is_refused(pair: Path, name: str) -> None:
    public = pair.with_suffix(".pub")
    for file, load in ((pair, load_pair), (public, load_public)):
        file.write_text(BROKEN[name](file.read_text()))
        with pytest.raises(KeyFileError) as raised:
            load(file)
        assert raised.value.next_step


def test_halves_of_two_pairs_are_no_pair(tmp_path: Path, pair: Path) -> None:
    new_pair(tmp_path / "other")
    secret = load_pair(tmp_path / "other.key").secret.decode()
    pair.write_text(pair.read_text().replace(load_pair(pair).secret.decode(), secret))
    with pytest.raises(KeyFileError, match="not a secret wire key"):
        load_pair(pair)


def test_a_public_file_is_no_secret_and_a_secret_never_taken_as_public(pair: Path) -> None:
    public = pair.with_suffix(".pub")
    public.chmod(0o600)
    with pytest.raises(KeyFileError, match="not a secret"):
        load_pair(public)
    with pytest.raises(KeyFileError, match="never leave"):
        load_public(pair)


def test_missing_files_pipes_and_folders_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "none", tmp_path / "pipe", tmp_path):
        with pytest.raises(KeyFileError):
            load_pair(path)
        with pytest.raises(KeyFileError):
            ClientKeys.load(path)


def test_the_allow_list_is_whole_or_says_what_is_wrong(tmp_path: Path) -> None:
    daemon = make_daemon_keys(tmp_path / "daemon")
    clients = daemon / "clients"
    assert "holds no client's" in read(clients)[1][0].message
    one, two = (make_client_keys(tmp_path / n, daemon, known_as=n) for n in ("one", "two"))
    both = {key_id(load_public(folder / "client.pub")) for folder in (one, two)}
    (clients / "notes.txt").write_text("not a key")
    assert (set(read(clients)[0]), read(clients)[1]) == (both, [])

    (clients / "broken.pub").write_text("")
    allowed, wrong = read(clients)
    assert set(allowed) == both
    assert "broken.pub" in wrong[0].message
    (clients / "broken.pub").unlink()

    (clients / "two.pub").chmod(0o666)
    assert len(read(clients)[0]) == 1
    assert "could let anybody in" in read(clients)[1][0].message
    let_in(two, daemon, "two")
    clients.chmod(0o777)
    assert read(clients)[0] == {}
    assert f"chmod go-w {clients}" in read(clients)[1][0].next_step
    clients.chmod(0o755)
    assert set(read(clients)[0]) == both
    for missing in (tmp_path / "none", clients / "one.pub"):
        assert read(missing)[0] == {}
        assert read(missing)[1]


def test_there_is_a_limit_of_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = make_daemon_keys(tmp_path / "daemon")
    for name in ("one", "two"):
        make_client_keys(tmp_path / name, daemon, known_as=name)
    monkeypatch.setattr(curve, "MOST_CLIENTS", 1)
    assert read(daemon / "clients")[0] == {}


def test_the_command_makes_and_shows_keys_of_both_kinds(tmp_path: Path) -> None:
    run = CliRunner().invoke
    wire = run(keys, ["new", str(tmp_path / "client"), "--wire"])
    assert wire.exit_code == 0
    made = wire.stdout.split()[1]
    signer = run(keys, ["new", str(tmp_path / "release")]).stdout.split()[1]
    shown = run(keys, ["show", str(tmp_path / "client.pub"), str(tmp_path / "release.pub")])
    assert shown.stdout.splitlines() == [f"{made}  client.pub  (wire)", f"{signer}  release.pub"]
    assert mode(tmp_path / "client.key") == mode(tmp_path / "release") == 0o600
    with pytest.raises(KeyFileError):
        signing.load_public_key(tmp_path / "client.pub")
    secret = load_pair(tmp_path / "client.key").secret.decode()
    assert secret not in wire.output + shown.output
    refused = run(keys, ["show", str(tmp_path / "client.key")])
    assert isinstance(refused.exception, KeyFileError)
    assert secret not in str(refused.exception)
    assert isinstance(run(keys, ["new", str(tmp_path / "client"), "--wire"]).exception,
                      OutputExistsError)  # fmt: skip
