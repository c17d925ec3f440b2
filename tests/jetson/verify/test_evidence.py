"""What the run leaves behind: signed, whole, and believed only as it was."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from acceptance import found, run, words
from scanside.jetson.cli import device as verbs
from scanside.jetson.verify.page import page
from scanside.jetson.verify.sealed import device_key, open_sealed, seal, write_page
from scanside.runtime.errors import DeviceError, KeyFileError, SignatureError
from scanside.runtime.signing import load_private_key, new_key


def test_evidence_that_was_changed_or_is_by_another_is_not_believed(
    root: Path, tmp_path: Path, bundle: Path
) -> None:
    assert run(root, bundle, tmp_path / "out", "--mode", "15W").exit_code == 0
    file, evidence = found(tmp_path / "out")
    public = root / "etc/scanside/device.key.pub"
    checked = CliRunner().invoke(verbs, ["verify", "--check", str(file), "--key", str(public)])
    assert checked.exit_code == 0
    assert checked.stdout.startswith(evidence.headline)
    assert open_sealed(file, [public]).known
    assert not open_sealed(file, []).known
    new_key(tmp_path / "other")
    with pytest.raises(SignatureError, match="not by a key that was named"):
        open_sealed(file, [tmp_path / "other.pub"])
    text = file.read_text()
    for pattern, other in (
        (r'"median_ms": [0-9.]+', '"median_ms": 0.001'),
        (r"TensorRT was not verified", "TensorRT was verified"),
        (r'"passed": true', '"passed": false'),
        (r'"jetson": true', '"jetson": true, "note": 1'),
    ):
        changed = re.sub(pattern, other, text, count=1)
        assert changed != text
        (tmp_path / "changed.json").write_text(changed)
        with pytest.raises(SignatureError, match="was changed after it was signed"):
            open_sealed(tmp_path / "changed.json", [])
    for nonsense in ("", "[]", "{}", "[" * 100000, text[:-40]):
        (tmp_path / "nonsense.json").write_text(nonsense)
        with pytest.raises(DeviceError, match="no evidence"):
            open_sealed(tmp_path / "nonsense.json", [])


def test_the_page_escapes_what_others_wrote(root: Path, tmp_path: Path, bundle: Path) -> None:
    (root / "proc/device-tree/serial-number").write_text("<script>alert(1)</script>")
    assert run(root, bundle, tmp_path / "out", "--mode", "15W").exit_code == 0
    file, evidence = found(tmp_path / "out")
    assert "<script" in evidence.headline
    assert "<script" not in page(evidence, file.name, "key")


def heard(out: Path) -> bool:
    """Whether anything was measured."""
    return out.exists() and any(out.iterdir())


def test_what_would_stop_the_evidence_stops_the_run_before_it(
    root: Path, tmp_path: Path, bundle: Path
) -> None:
    """A key that cannot be read, a folder that takes nothing, another system's tools: no mode is
    asked for."""
    out, asked = tmp_path / "out", root / "run/asked"
    result = run(root, bundle, out, "--mode", "15W", "--key", tmp_path / "nowhere")
    assert isinstance(result.exception, KeyFileError)
    (tmp_path / "file").write_text("")
    result = run(root, bundle, tmp_path / "file/out", "--mode", "15W")
    assert isinstance(result.exception, DeviceError)
    assert "cannot be written" in str(result.exception)
    (root / "bin").mkdir()
    (root / "bin/sh").write_bytes(b"\x7fELF")
    result = run(root, bundle, out, "--mode", "15W")
    assert isinstance(result.exception, DeviceError)
    assert "this one's power mode" in str(result.exception)
    assert not asked.exists()
    assert not heard(out)


def test_a_key_that_was_named_is_not_made_and_its_neighbour_stays(
    root: Path, tmp_path: Path, bundle: Path
) -> None:
    new_key(tmp_path / "maker")
    (tmp_path / "maker").unlink()
    result = run(root, bundle, tmp_path / "out", "--key", tmp_path / "maker")
    assert isinstance(result.exception, KeyFileError)
    assert (tmp_path / "maker.pub").exists()
    assert not (tmp_path / "maker").exists()


def test_a_cut_between_the_keys_two_files_is_mended(tmp_path: Path) -> None:
    path = device_key(tmp_path / "device.key")
    public = tmp_path / "device.key.pub"
    before = public.read_bytes()
    public.unlink()
    device_key(path)
    assert public.read_bytes() == before


def test_a_key_in_a_closed_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", closed)  # root, who runs the tests, sees into any folder
    with pytest.raises(DeviceError, match=r"cannot be made: Permission denied"):
        device_key(tmp_path / "device.key")


def test_the_page_is_whole_in_any_locale(tmp_path: Path, bundle: Path) -> None:
    (tmp_path / "root").mkdir()
    program = [sys.executable, "-X", "utf8=0", "-c"]
    program += ["from scanside.runtime.cli import main; main()", "device"]
    odd = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [*program, *words(tmp_path / "root", bundle, tmp_path / "out"), "--json"],
        env=odd, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (shown,) = (tmp_path / "out").glob("*.html")
    assert "–" in shown.read_text(encoding="utf-8")
    with pytest.raises(DeviceError, match="cannot be written"):
        write_page("", shown / "below")


def test_evidence_of_another_format_or_with_controls_is_told_as_such(
    root: Path, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(root, bundle, tmp_path / "out", "--mode", "15W").exit_code == 0
    _, evidence = found(tmp_path / "out")
    key = root / "etc/scanside/device.key"
    assert load_private_key(key)
    other = tmp_path / "other.json"
    seal(msgspec.structs.replace(evidence, headline="all is well\x07"), key, other)
    checked = CliRunner().invoke(verbs, ["verify", "--check", str(other)])
    assert checked.exit_code == 0
    assert "\x07" not in checked.stdout
    content = msgspec.to_builtins(evidence) | {"format": 2}
    content.pop("soak")
    monkeypatch.setattr(msgspec, "to_builtins", lambda _: content)
    seal(evidence, key, other)
    with pytest.raises(DeviceError, match="has format 2, this Scanside reads 1"):
        open_sealed(other, [])
