"""Run in a process of its own, as whoever has the MONAI bundle and no Scanside would: checks and
runs it with MONAI alone, and prints what MONAI found as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path


class NoScanside:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "scanside":
            raise ImportError(name)


sys.meta_path.insert(0, NoScanside())

from monai.bundle import (  # noqa: E402
    ConfigWorkflow,
    load_bundle_config,
    verify_net_in_out,
)


def main(bundle: str, images: str, out: str) -> None:
    config = f"{bundle}/configs/inference.json"
    overrides = {"bundle_root": bundle, "dataset_dir": images, "output_dir": out, "threads": 1}
    workflow = ConfigWorkflow(config, workflow_type="inference", logging_file=False, **overrides)
    workflow.initialize()
    workflow.run()
    missing = workflow.check_properties()
    workflow.finalize()
    # Scripts are found from here on: the run has put the bundle on the path.
    meta = f"{bundle}/configs/metadata.json"
    verify_net_in_out(
        "network_def", meta_file=meta, config_file=config, device="cpu", n=16, **overrides
    )
    parser = load_bundle_config(bundle, "inference.json")
    sys.stdout.write(
        json.dumps(
            {
                "missing": missing,
                "version": workflow.version,
                "keys": sorted(parser["_meta_"]),
                "written": sorted(p.relative_to(out).as_posix() for p in Path(out).rglob("*.npy")),
            }
        )
    )


main(*sys.argv[1:])
