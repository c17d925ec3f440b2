"""Power, heat, memory, disk and time: what a device lives on."""

from __future__ import annotations

from collections.abc import Iterator

from scanside.jetson.doctor.verdict import Case, Check, Line, softened
from scanside.runtime.fingerprint import memory_class
from scanside.runtime.manifest import MEBIBYTE
from scanside.runtime.platforms import plain_mode

WORKING_MB = 1024
"""What the appliance takes with a bundle of no larger budget."""
LEAST_DISK_MB, WISHED_DISK_MB = 2048, 4096
"""A bundle has at most 512 MiB, its plan 256 and the application some hundreds, each of them twice
while one follows the other."""
_LEAST_INODES = 2000
_WARM = 85.0
_FAN_RUNS = 40
_FIRST_DAY = 1_735_689_600
"""1 January 2025: this program is younger."""


def check_power(case: Case) -> Iterator[Check]:
    yield _mode(case)
    yield _default_mode(case)
    yield _temperature(case)
    yield _throttling(case)
    yield _over_current(case)
    yield _fan(case)
    yield _clocks(case)
    yield _tegrastats(case)


def check_room(case: Case, budget_mb: int = 0) -> Iterator[Check]:
    """budget_mb: what a bundle says that it needs; 0 where none was named."""
    yield _memory(case)
    yield _available(case, max(budget_mb, WORKING_MB))
    yield _disk(case)
    yield _writable(case)


def check_time(case: Case) -> Iterator[Check]:
    yield _clock(case)
    yield _synchronised(case)


def _mode(case: Case) -> Check:
    power = case.device.power
    known = case.module.power if case.module else {}
    line = Line("power.mode", "Power mode", " or ".join(n for n in known if known[n] != "opt-in"))
    if power.current is None or power.from_status:
        what = "does not answer" if power.hung else "tells none"
        what = f"nvpmodel {what}" if power.installed else "there is no nvpmodel"
        if power.current:
            what += f"; it last set {power.current}"
        step = "sudo nvpmodel -q; restart the device if that hangs too"
        if not power.installed:
            step = "sudo apt install --reinstall nvidia-l4t-nvpmodel"
        return line.yellow(what, step)
    if case.module is None:
        return line.not_judged(f"{power.current}; the module is not known or supported")
    use = known.get(plain_mode(power.current))
    step = f"sudo scanside device provision sets {_default_of(case)}, and reads it back"
    if use is None:
        return line.yellow(f"{power.current}, which is not in the table", step)
    if use == "opt-in":
        return line.yellow(f"{power.current}: {'; '.join(case.module.cautions)}", step)
    return line.green(power.current)


def _default_mode(case: Case) -> Check:
    line = Line("power.default", "Power modes of the board")
    if case.module is None:
        return line.not_judged("the module is not known or supported")
    wanted = _default_of(case)
    line = Line(line.name, line.title, f"{wanted} among them")
    names = [mode.name for mode in case.device.power.modes]
    if not names:
        return line.yellow(
            "/etc/nvpmodel.conf lists none", "sudo apt install --reinstall nvidia-l4t-nvpmodel"
        )
    if wanted in map(plain_mode, names):
        return line.green(", ".join(names))
    return line.yellow(
        ", ".join(names), "flash it with the module's own configuration, or choose one by name"
    )


def _default_of(case: Case) -> str:
    modes = case.module.power if case.module else {}
    return next((name for name, use in modes.items() if use == "default"), "")


def _temperature(case: Case) -> Check:
    zone = case.device.thermal.hottest
    line = Line("heat.temperature", "Hottest sensor", f"under {_WARM:.0f} °C")
    if zone is None or zone.celsius is None:
        return line.yellow("no sensor tells", "look at /sys/class/thermal on the device")
    zones = [one for one in case.device.thermal.zones if one.celsius is not None]
    stopping = [z for z in zones if z.critical and (z.celsius or 0) >= z.critical]
    slowed = [z for z in zones if z.passive and (z.celsius or 0) >= z.passive]
    worst = (stopping or slowed or [zone])[0]
    words = f"{worst.celsius:.0f} °C ({worst.name})"
    step = "clean its fan and its vents, give it air, or choose a lower power mode"
    if stopping:
        return line.red(f"{words}, where it switches itself off", f"switch it off; {step}")
    if slowed or (worst.celsius or 0) >= _WARM:
        return line.yellow(words + (", where it slows itself down" if slowed else ""), step)
    return line.green(words)


def _throttling(case: Case) -> Check:
    line = Line("heat.throttling", "Throttling", "nothing")
    found = case.device.thermal.throttling
    if not case.device.thermal.watched:
        return line.not_judged("this board has no cooling device that tells")
    if not found:
        return line.green("nothing")
    return line.red(", ".join(found), "cool it down: latency is not what was measured until then")


def _over_current(case: Case) -> Check:
    line = Line("power.over_current", "Over-current events", "none since the start")
    count = case.device.thermal.over_current
    if count is None:
        return line.not_judged("this board does not count them")
    if count == 0:
        return line.green("none")
    return line.yellow(
        f"{count} since the start", "look at the power supply: is it the one for this power mode?"
    )


def _fan(case: Case) -> Check:
    line = Line("heat.fan", "Fan", "it turns")
    fans = case.device.thermal.fans
    if not fans:
        return line.not_judged("none is there, or none that tells: see that its case is cooled")
    fan = fans[0]
    if fan.rpm == 0 and (fan.pwm or 0) >= _FAN_RUNS:
        return line.red(f"stands still at {fan.pwm} of 255", "free it, plug it in, or replace it")
    speed = "speed not told" if fan.rpm is None else f"{fan.rpm} per minute"
    return line.green(f"{speed}, {'?' if fan.pwm is None else fan.pwm} of 255")


def _clocks(case: Case) -> Check:
    line = Line("power.clocks", "Clocks of the GPU")
    gpu = case.device.clocks.gpu
    if not gpu or gpu[0].most is None:
        return line.not_judged("/sys/class/devfreq tells none")
    one = gpu[0]
    top = f" of {one.hardware:.0f}" if one.hardware else ""
    now = f"now {one.now:.0f}, " if one.now is not None else ""
    cpus = case.device.clocks.cpus_online
    return line.green(f"{now}at most {one.most:.0f}{top} MHz" + (f"; CPUs {cpus}" if cpus else ""))


def _tegrastats(case: Case) -> Check:
    line = Line("power.tegrastats", "tegrastats", "a line with RAM")
    stats = case.device.stats
    if stats is None:
        return line.yellow(
            "says nothing that can be read",
            "run `tegrastats` by hand, and send its line with this page",
        )
    # AGX Orin has no rail of the whole board: its VIN_SYS_5V0 is one of three.
    whole = next((stats.milliwatts[one] for one in ("VDD_IN", "VIN") if one in stats.milliwatts), 0)
    power = f", {whole / 1000:.1f} W in" if whole else ""
    load = "" if stats.gpu_percent is None else f", GPU {stats.gpu_percent}%"
    return line.green(f"RAM {stats.ram_used_mb} of {stats.ram_total_mb} MB{load}{power}")


def _memory(case: Case) -> Check:
    title = "Memory"
    total = case.device.memory.total_mb
    if case.module is None:
        return Line("memory.total", title).not_judged("the module is not known or supported")
    line = Line("memory.total", title, f"{case.module.memory_gb} GB")
    if total is None:
        return line.yellow("/proc/meminfo tells nothing", "run this on the device itself")
    words = f"{total / 1024:.1f} GiB"
    if memory_class(total * MEBIBYTE) == case.module.memory_gb:
        return line.green(words)
    return line.judged(
        softened("memory_gb" in case.module.uncertain),
        f"{words}, not {case.module.memory_gb} GB",
        "it was flashed as another module, or memory is reserved: flash it as what its label says",
    )


def _available(case: Case, needed: int) -> Check:
    line = Line("memory.available", "Memory to be had", f"{needed} MiB")
    found = case.device.memory.available_mb
    if found is None:
        return line.yellow("/proc/meminfo tells nothing", "run this on the device itself")
    if found >= needed:
        return line.green(f"{found} MiB")
    return line.red(
        f"{found} MiB",
        "switch the desktop off (sudo systemctl set-default multi-user.target), end other "
        "programs, restart; or take a bundle compiled for this module",
    )


def _disk(case: Case) -> Check:
    line = Line("disk.room", "Room on the disk", f"{WISHED_DISK_MB} MiB")
    known = [room for room in case.device.disk if room.free_mb is not None]
    step = "sudo scanside device prune; sudo apt clean; sudo journalctl --vacuum-size=200M"
    if not known:
        return line.yellow("df does not answer", "run `df -h /var/lib /opt /var/log`")
    least = min(known, key=lambda room: room.free_mb or 0)
    words = f"{least.free_mb} MiB at {least.mount} for {least.folder}"
    if (least.free_mb or 0) < LEAST_DISK_MB:
        return line.red(words, step)
    crowded = [r for r in known if r.free_inodes is not None and r.free_inodes < _LEAST_INODES]
    if crowded:
        return line.red(
            f"{crowded[0].free_inodes} inodes at {crowded[0].mount}",
            "remove folders of many small files: a disk without inodes is as full as one "
            "without room",
        )
    return line.yellow(words, step) if (least.free_mb or 0) < WISHED_DISK_MB else line.green(words)


def _writable(case: Case) -> Check:
    line = Line("disk.writable", "Disks may be written", "mounted rw")
    read_only = [room for room in case.device.disk if room.writable is False]
    if any(room.writable is None for room in case.device.disk):
        return line.yellow("/proc/mounts tells nothing", "run this on the device itself")
    if not read_only:
        return line.green("all of them")
    return line.red(
        f"read-only at {read_only[0].mount}, for {', '.join(room.folder for room in read_only)}",
        "look into `dmesg`: a damaged disk is mounted read-only; or give these folders a disk of "
        "their own",
    )


def _clock(case: Case) -> Check:
    line = Line("time.clock", "Clock", "2025 or later")
    unix = case.device.time.unix
    if unix is None:
        return line.yellow("`date` does not answer", "run `date` on the device")
    year = 1970 + unix / 31_556_952
    if unix >= _FIRST_DAY:
        return line.green(f"{int(year)}, time zone {case.device.time.zone or 'not told'}")
    return line.red(
        f"the year {int(year)}",
        "set it (sudo timedatectl set-time ...), look at the carrier's battery, name a time server",
    )


def _synchronised(case: Case) -> Check:
    line = Line("time.synchronised", "Time server", "the clock is synchronised")
    found = case.device.time
    if found.synchronised:
        return line.green("synchronised")
    step = "sudo scanside device provision --time-server ADDRESS: logs and evidence bear this time"
    if found.synchronised is None:
        return line.yellow("timedatectl does not answer", "run `timedatectl` on the device")
    on = "on, but has not set the clock" if found.service else "off"
    return line.yellow(f"the time service is {on}", step)
