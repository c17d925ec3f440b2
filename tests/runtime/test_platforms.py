"""The table of platforms: rows that are whole, and refusals that say why."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from scanside.runtime import platforms
from scanside.runtime.cli.targets import targets as verb
from scanside.runtime.errors import TargetError
from scanside.runtime.platforms import (
    Module,
    Release,
    board_of,
    boards_in_tree,
    dotted,
    find_target,
    module_of_board,
    modules,
    modules_of_model,
    modules_of_usb,
    plain_mode,
    release_of,
    releases,
    targets,
)

FIRST_TENSORRT = (10, 3)
# As nvautoflash.sh of NVIDIA's BSP of 2026 lists them: boards by memory, and ids in recovery mode.
NVIDIAS_BOARDS = {
    "3701-0000": "agx-orin-32gb",
    "3701-0004": "agx-orin-32gb",
    "3701-0005": "agx-orin-64gb",
    "3701-0008": "agx-orin-industrial",
    "3767-0000": "orin-nx-16gb",
    "3767-0001": "orin-nx-8gb",
    "3767-0002": "orin-nx-16gb",
    "3767-0003": "orin-nano-8gb",
    "3767-0004": "orin-nano-4gb",
    "3767-0005": "orin-nano-8gb",
    "3834-0008": "thor-t5000",
    "3834-0000": "thor-t4000",
}
NVIDIAS_IDS = ("7023", "7223", "7323", "7423", "7523", "7623", "7026", "7226", "7326")


def test_every_row_is_whole():
    assert len(targets()) > 15
    for name, target in targets().items():
        assert re.fullmatch(r"[a-z0-9.-]+-jp\d\.\d", name)
        assert target.module.source.startswith("https://")
        assert target.release.source.startswith("https://")
        assert target.module.memory_gb >= 4
        version = tuple(int(part) for part in target.release.tensorrt.split("."))
        too_old = version < FIRST_TENSORRT
        assert bool(target.refused) == (too_old or bool(target.module.refused))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nano-jp4.6", "no INT8"),
        ("agx-orin-industrial-jp6.2", "power modes"),
        ("xavier-nx-jp5.1", "ends at JetPack 5"),
        ("agx-orin-64gb-jp5.1", "update the device to JetPack 6.2"),
        ("orin-nx-16gb-jp6.0", "TensorRT 8.6"),
        ("orin-nx-16gb-jp6.3", "the nearest is 'orin-nx-16gb-jp6."),
        ("", "the nearest"),
    ],
)
def test_what_cannot_run_is_refused_with_the_reason(name, why):
    with pytest.raises(TargetError) as caught:
        find_target(name)
    assert why in str(caught.value)


def test_the_verb_lists_what_can_be_compiled_for():
    shown = CliRunner().invoke(verb, env={"COLUMNS": "200"}).output
    assert "orin-nx-16gb-jp6.2" in shown
    assert "jp5.1" not in shown
    assert "ends at JetPack 5" in CliRunner().invoke(verb, ["--all"], env={"COLUMNS": "300"}).output
    one = CliRunner().invoke(verb, ["thor-t4000-jp7.2"]).output
    assert re.search(r"^in recovery mode +0955:7226$", one, re.MULTILINE)
    assert re.search(r"^power modes +MAXN \(default\)  \?$", one, re.MULTILINE)
    assert re.search(r"^CUDA +13\.2$", one, re.MULTILINE)
    assert isinstance(CliRunner().invoke(verb, ["orin-nx-16gb-jp6.0"]).exception, TargetError)


def test_what_is_uncertain_is_a_cell_of_its_row():
    for row, kind in [(m, Module) for m in modules().values()] + [
        (r, Release) for r in releases().values()
    ]:
        assert set(row.uncertain) <= set(kind.__struct_fields__) - {"source", "refused"}, row
    for family in platforms.families().values():
        assert set(family.uncertain) <= {"nodes"}
        assert family.source.startswith("https://")
    assert {module.family for module in modules().values()} == set(platforms.families())


def test_every_supported_module_has_one_default_power_mode_and_maxn_super_is_never_it():
    for module in modules().values():
        uses = list(module.power.values())
        assert uses.count("default") == (0 if module.refused else 1), module.name
        assert module.power.get("MAXN_SUPER", "opt-in") == "opt-in"
        if "MAXN_SUPER" in module.power:
            assert any("damage" in caution for caution in module.cautions)


def test_every_board_is_of_one_module_and_every_usb_id_is_well_formed():
    boards = [board for module in modules().values() for board in module.boards]
    assert len(set(boards)) == len(boards)
    for module in modules().values():
        for board in module.boards:
            assert module_of_board(board if "-" in board else f"{board}-0001") == module
        assert module.recovery_usb
        for identity in module.recovery_usb:
            assert re.fullmatch(r"0955:7[0-9a-f]{3}", identity)
            assert module in modules_of_usb(identity.upper())
        if module.family == "orin":
            assert all(identity.endswith("23") for identity in module.recovery_usb)
    known = {m.recovery_usb for m in modules().values() if m.family in ("orin", "thor")}
    assert {one for ids in known for one in ids} == {f"0955:{one}" for one in NVIDIAS_IDS}


def test_the_eeprom_tells_modules_apart_that_the_gpu_cannot():
    nano, nx = "3767-300-0003-T.2-1-1-jetson-orin-nano-devkit-", "3767-301-0001-M.1-1-1-x-"
    assert module_of_board(board_of(nano)) == modules()["orin-nano-8gb"]
    assert module_of_board(board_of(nx)) == modules()["orin-nx-8gb"]
    assert module_of_board(board_of("3834-100-0000-A.1-1-1-x-")).name == "thor-t4000"
    assert board_of("3767--0005--1--x-") == "3767-0005"
    for bad in ("", "nothing", "3767", "37-300-0003"):
        assert board_of(bad) is None
    for board, name in NVIDIAS_BOARDS.items():
        assert module_of_board(board).name == name
    for unknown in ("3767-0099", "3701-0001", "3701-0002", "3834-0005"):
        assert module_of_board(unknown) is None
    assert boards_in_tree("nvidia,p3768-0000+p3767-0005 nvidia,p3767-0005") == ("3767-0005",)
    assert {m.name for m in modules_of_model("NVIDIA Jetson AGX Thor Developer Kit")} == {
        "thor-t4000",
        "thor-t5000",
    }
    assert [m.name for m in modules_of_model("NVIDIA Jetson Nano Developer Kit")] == ["nano"]


def test_tensorrt_11_belongs_to_the_last_jetpack_and_the_large_modules():
    last = releases()["7.2"]
    assert last.tensorrts("39.2.2", "agx-orin-64gb") == ("10.16.2", "11.4.1")
    assert last.tensorrts("39.2.1", "agx-orin-64gb") == ("10.16.2",)
    assert last.tensorrts("39.2.2", "orin-nx-16gb") == ("10.16.2",)
    for release in releases().values():
        for one in release.also:
            assert set(one.modules) <= set(modules())
            assert release_of(one.from_l4t) == release


def test_every_point_is_of_its_release_and_older_l4t_is_known_too():
    for release in releases().values():
        for l4t, point in release.points.items():
            assert release_of(l4t) == release
            assert point.startswith(release.jetpack)
    assert release_of("35.3.1").jetpack == "5.1"
    assert release_of("32.7.6").jetpack == "4.6"
    assert release_of("38.2.1").jetpack == "7.0"


def test_versions_and_modes_are_compared_as_the_table_has_them():
    assert dotted("10.3.0.30-1+cuda12.5") == (10, 3, 0, 30)
    assert dotted("x") == ()
    assert plain_mode("MODE_30W") == "30W"
    assert plain_mode("MAXN_SUPER") == "MAXN_SUPER"
