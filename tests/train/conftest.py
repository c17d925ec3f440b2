"""Small networks of every architecture, as they look after training."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

torch = pytest.importorskip("torch", reason="needs the extra [workstation]")

from scanside.train.models import Network, build  # noqa: E402
from scanside.train.recipe import (  # noqa: E402
    MonaiUNetShape,
    Shape,
    SRGANShape,
    SRNetShape,
    UNetShape,
)

SMALL: dict[str, Shape] = {
    "unet": UNetShape(widths=(16, 32)),
    "monai": MonaiUNetShape(widths=(8, 16, 16), units=2),
    "srnet": SRNetShape(width=16, blocks=2),
    "srgan": SRGANShape(width=16, blocks=2),
    "srgan relu": SRGANShape(width=16, blocks=1, prelu=False),
}


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks of 16 channels are ten times slower on four threads that others are using too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=list(SMALL))
def shape(request: pytest.FixtureRequest) -> Shape:
    """Each architecture in turn."""
    return SMALL[request.param]


@pytest.fixture(scope="session")
def looks_trained() -> Callable[[Shape], Network]:
    """Builds a shape: random running statistics, so that folding has something to fold, and a last
    layer that has left its start near zero."""

    def make(shape: Shape) -> Network:
        torch.manual_seed(0)
        model = build(shape)
        with torch.no_grad():
            list(model.modules())[-1].weight.mul_(32)
            for module in model.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.running_mean.normal_(0, 0.2)
                    module.running_var.uniform_(0.5, 2)
                    torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                    torch.nn.init.normal_(module.bias, 0, 0.2)
        return model.eval()

    return make
