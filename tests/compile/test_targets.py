"""What a target can hold."""

from __future__ import annotations

import msgspec
import pytest

pytest.importorskip("torch", reason="needs the extra [workstation]")

from bundles import make_manifest, make_model
from scanside.compile.export import export_onnx
from scanside.compile.targets import fit_to_target, memory_budget_mb, working_set_mb
from scanside.runtime.errors import TargetError
from scanside.runtime.manifest import Sizes
from scanside.runtime.platforms import find_target
from scanside.train.models import build, fuse_batch_norm
from scanside.train.recipe import SRGANShape, UNetShape


@pytest.fixture(scope="module")
def unet() -> bytes:
    return export_onnx(fuse_batch_norm(build(UNetShape(widths=(16, 32))).eval()), 2)


def test_the_working_set_is_what_lives_at_once():
    # One convolution: its input and its output, one channel each, in float32.
    assert working_set_mb(make_model(), 1024) == 2 * 4 + 1  # and the rest of a MiB for weights


def test_it_grows_with_the_tile(unet):
    small, large = working_set_mb(unet, 256), working_set_mb(unet, 1024)
    assert large == pytest.approx(16 * small, rel=0.1)
    # At full resolution at least the 16 channels of the skip, and of what is computed beside it.
    assert large >= 2 * 16 * 4


def test_a_bundle_gets_budget_and_tiles_of_its_target(unet):
    manifest = make_manifest(multiple_of=2, receptive_field=22)
    target = find_target("orin-nano-4gb-jp6.2")
    fitted = fit_to_target(manifest, unet, target)
    assert fitted.target == "orin-nano-4gb-jp6.2"
    assert fitted.memory_budget_mb == memory_budget_mb(target) == 1024
    assert fitted.sizes == manifest.sizes  # tiles of 1024 fit
    fitted.encode()


def test_tiles_shrink_until_they_fit():
    model = export_onnx(fuse_batch_norm(build(SRGANShape(width=64, blocks=2)).eval()), 1)
    manifest = make_manifest(scale=2, sizes=Sizes(tile=2048))
    target = find_target("orin-nano-4gb-jp6.2")
    fitted = fit_to_target(manifest, model, target)
    assert fitted.sizes.tile < 2048
    assert working_set_mb(model, fitted.sizes.tile) <= 1024
    assert working_set_mb(model, 2 * fitted.sizes.tile) > 1024


def test_what_no_tile_fits_is_refused(unet):
    manifest = make_manifest(multiple_of=2, receptive_field=22)
    target = find_target("orin-nano-4gb-jp6.2")
    tiny = msgspec.structs.replace(
        target, module=msgspec.structs.replace(target.module, memory_gb=2)
    )
    with pytest.raises(TargetError, match="gives the model 0 MB"):
        fit_to_target(manifest, unet, tiny)
