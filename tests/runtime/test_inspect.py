"""`scanside inspect` on good, broken and hostile bundles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from attacks.bundles import with_manifest
from bundles import make_manifest, make_members, write_test_bundle
from scanside.compile.pack import write_bundle
from scanside.runtime.bundle import MODEL, REPORT, Bundle
from scanside.runtime.cli import main
from scanside.runtime.cli.inspect import inspect
from scanside.runtime.errors import BundleFormatError
from scanside.runtime.manifest import Acceptance, Percentiles, StoredRange


def shown(path: Path, *options: str) -> str:
    result = CliRunner().invoke(inspect, [str(path), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_table_holds_what_a_buyer_asks_for(tmp_path: Path) -> None:
    acceptance = Acceptance(
        data="8 held-out slices",
        data_range=4095,
        unit="HU",
        drift_limit_db=0.1,
        figures={"psnr_int8": 41.25, "drift_db": -0.04},
    )
    path = write_test_bundle(tmp_path / "a.scanside", acceptance=acceptance, modality=("CT", "PT"))
    bundle = Bundle.open(path)
    text = shown(path)
    for expected in (
        *("test 1.0.0", "denoise, 1x", "CT, PT", "window -160 to 240, margin 200"),
        *("8 held-out slices", "4095 HU", "0.1 dB", "psnr_int8: 41.25", "drift_db: -0.04"),
        *("no: runs only where unsigned", "none, seed 0", bundle.identity),
        f"{MODEL}: {len(bundle.member(MODEL)):,} bytes",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("intensity", "words"),
    [
        (Percentiles(lower=1, upper=99, margin=0.1), "percentiles 1 to 99"),
        (StoredRange(), "the whole range"),
    ],
)
def test_every_intensity_rule_has_words(
    tmp_path: Path, intensity: Percentiles | StoredRange, words: str
) -> None:
    assert words in shown(write_test_bundle(tmp_path / "a.scanside", intensity=intensity))


def test_json_is_the_manifest_whole(tmp_path: Path) -> None:
    path = write_test_bundle(tmp_path / "a.scanside")
    path.write_bytes(with_manifest(path.read_bytes(), lambda m: m.update(format="1.1", later=5)))
    content = json.loads(shown(path, "--json"))
    bundle = Bundle.open(path)
    assert content["identity"] == bundle.identity
    assert content["signed"] is False
    assert content["manifest"]["later"] == 5
    assert content["manifest"]["name"] == "test"


def test_report_is_shown_without_control_characters(tmp_path: Path) -> None:
    manifest = make_manifest()
    evidence = json.dumps({"note": "\x9b31mé", "psnr": 40.5}, ensure_ascii=False).encode()
    write_bundle(tmp_path / "a.scanside", manifest, {**make_members(manifest), REPORT: evidence})
    text = shown(tmp_path / "a.scanside", "--report")
    assert json.loads(text) == json.loads(evidence)
    assert text.isascii()


def test_a_report_that_is_not_json_is_said_to_be_so(tmp_path: Path) -> None:
    manifest = make_manifest()
    write_bundle(tmp_path / "a.scanside", manifest, {**make_members(manifest), REPORT: b"\xff{"})
    with pytest.raises(BundleFormatError, match="is not JSON"):
        shown(tmp_path / "a.scanside", "--report")


def test_markup_in_a_manifest_is_text(tmp_path: Path) -> None:
    path = write_test_bundle(tmp_path / "a.scanside", description="[red]x[/red][link=a]")
    assert "[red]x[/red][link=a]" in shown(path)


def test_a_broken_bundle_ends_with_its_exit_code_and_a_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_test_bundle(tmp_path / "a.scanside")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SystemExit) as caught:
        main(["inspect", str(path)])
    assert caught.value.code == 5
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "not a whole Scanside bundle" in captured.err
    assert "next: copy the file again" in captured.err


def test_options_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    path = write_test_bundle(tmp_path / "a.scanside")
    result = CliRunner().invoke(inspect, [str(path), "--json", "--report"])
    assert result.exit_code == 2


def test_help_has_an_example() -> None:
    assert "scanside inspect ct.scanside" in CliRunner().invoke(inspect, ["--help"]).output
