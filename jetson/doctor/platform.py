"""Module, JetPack, and the packages that JetPack brought."""

from __future__ import annotations

from collections.abc import Iterator

from scanside.jetson.device import Device
from scanside.jetson.doctor.verdict import Case, Check, Line, softened
from scanside.runtime.platforms import Release, modules, release_of, releases, targets

_FLASH = "flash it with JetPack 6.2 or later, at a workstation"
_ANOTHER = "take a Jetson Orin or Thor: nothing that is flashed changes this"
_MOST_NAMED = 4


def case_of(device: Device) -> Case:
    """The rows of the table that a device belongs to; refused ones count as none."""
    module = modules().get(device.module.name or "")
    release = release_of(device.release.l4t or "")
    return Case(
        device=device,
        module=None if module is None or module.refused else module,
        release=None if release is None or release.refused else release,
    )


def check_platform(case: Case) -> Iterator[Check]:
    yield _module(case)
    yield _tree(case)
    yield _release(case)
    yield _pair(case)
    yield _ubuntu(case)
    yield _one_version(case)
    yield _held(case)


def _module(case: Case) -> Check:
    line = Line("module.known", "Module", "a Jetson Orin or Thor of the table of platforms")
    found = case.device.module
    rows = [modules()[name] for name in found.candidates]
    told = ", ".join(filter(None, (found.model, found.tnspec))) or "nothing tells what this is"
    if not rows:
        return line.red(
            f"unknown: {told}",
            "run this on the Jetson; where this is one, compare the P-number on the module's label "
            "with `scanside targets --all`",
        )
    if all(row.refused for row in rows):
        return line.red(f"{rows[0].title}: {rows[0].refused}", _ANOTHER)
    if len(rows) > 1:
        return line.yellow(
            f"{told}: one of {', '.join(row.name for row in rows)}",
            "look at the module's label; it was flashed without its EEPROM being read, so that "
            "/etc/nv_boot_control.conf names no board",
        )
    return line.green(f"{rows[0].title}, by {found.source} ({found.board or found.model})")


def _tree(case: Case) -> Check:
    line = Line("module.device_tree", "EEPROM and device tree", "the same module")
    found = case.device.module
    if found.name is None:
        return line.not_judged("the module is not known")
    if found.disagreeing:
        return line.yellow(
            f"the EEPROM says {found.name}, the device tree {found.disagreeing}",
            "it was flashed for another module: flash it with the configuration of this one",
        )
    return line.green(found.model or "the device tree names no other")


def _release(case: Case) -> Check:
    supported = [one.jetpack for one in releases().values() if not one.refused]
    line = Line("release.supported", "JetPack", ", ".join(supported))
    l4t = case.device.release.l4t
    row = release_of(l4t or "")
    if l4t is None:
        return line.red("no L4T: this is no Jetson, or its packages are gone", _FLASH)
    if row is None:
        return line.red(
            f"L4T {l4t} belongs to no JetPack known here", f"update Scanside, or {_FLASH}"
        )
    if row.refused:
        rows = [modules()[name] for name in case.device.module.candidates]
        hopeless = bool(rows) and all(one.refused for one in rows)
        return line.red(f"L4T {l4t}: {row.refused}", _ANOTHER if hopeless else _FLASH)
    return line.green(f"L4T {l4t}, {_point(row, l4t)}, by {case.device.release.source}")


def _point(row: Release, l4t: str) -> str:
    point = row.points.get(l4t)
    if point is None:
        return f"a JetPack {row.jetpack} whose last figure is not listed here"
    unsure = " (not certain)" if "points" in row.uncertain and point != row.jetpack else ""
    return f"JetPack {point}{unsure}"


def _pair(case: Case) -> Check:
    line = Line("release.for_module", "JetPack for this module", "a pair of `scanside targets`")
    module, release = case.module, case.release
    if module is None or release is None:
        return line.not_judged("module or JetPack are not supported or not known")
    target = targets().get(case.target or "")
    if target is not None:
        unsure = f"; not certain in the table: {', '.join(target.uncertain)}"
        return line.green(target.name + (unsure if target.uncertain else ""))
    return line.judged(
        softened("without" in module.uncertain and release.jetpack in module.without),
        f"{module.title} with JetPack {release.jetpack}",
        "flash the module with a JetPack that it is listed with",
    )


def _ubuntu(case: Case) -> Check:
    found = case.device.release
    if case.release is None:
        return Line("release.ubuntu", "Ubuntu").not_judged("the JetPack is not known or supported")
    line = Line("release.ubuntu", "Ubuntu", case.release.ubuntu)
    if found.version == case.release.ubuntu:
        return line.green(found.distribution or found.version)
    return line.yellow(
        found.distribution or "/etc/os-release tells nothing",
        "the root file system is not NVIDIA's: ask its maker for JetPack's packages",
    )


def _one_version(case: Case) -> Check:
    line = Line("packages.one_version", "One version of L4T", "all packages whole, of one version")
    found, own = case.device.packages, case.device.release.l4t
    versions = found.l4t_versions
    if found.torn:
        return line.red(
            f"installed by half: {_few(found.torn)}",
            "sudo dpkg --configure -a, then sudo apt --fix-broken install; where that fails, its "
            "last lines say why",
        )
    if not versions:
        return line.yellow(
            "no nvidia-l4t packages" if found.asked else "dpkg does not answer",
            "look at `dpkg -l 'nvidia-l4t-*'` on the device",
        )
    if len(versions) == 1 and own in (None, *versions):
        only = next(iter(versions))
        return line.green(f"{len(versions[only])} packages of {only}")
    rarest = min(versions.values(), key=len)
    counts = ", ".join(f"{len(names)} of {version}" for version, names in versions.items())
    return line.red(
        f"{counts} ({_few(rarest)})" + (f"; the device calls itself {own}" if own else ""),
        "a mixture has crashed units: finish the upgrade (sudo apt full-upgrade) or flash it anew, "
        "then hold the packages",
    )


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (" ..." if len(names) > _MOST_NAMED else "")


def _held(case: Case) -> Check:
    line = Line("packages.held", "L4T is held", "no package that apt may upgrade by itself")
    found = case.device.packages
    if not found.l4t:
        return line.not_judged("no nvidia-l4t packages are known")
    if not found.loose:
        return line.green(f"all {len(found.l4t)} packages")
    return line.yellow(
        f"{len(found.loose)} of {len(found.l4t)} packages may be upgraded",
        "sudo scanside device provision, or: sudo apt-mark hold 'nvidia-l4t-*'",
    )
