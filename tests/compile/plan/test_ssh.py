"""What may be named as a builder, and what the ssh client gets to see of it."""

from __future__ import annotations

import pytest

from scanside.compile.ssh import Address, parse_address, ssh_command
from scanside.runtime.errors import (
    BuilderError,
)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ssh://nvidia@jetson", Address("nvidia", "jetson", 0)),
        ("ssh://192.168.55.1:2222", Address("", "192.168.55.1", 2222)),
        ("ssh://nvidia@[fe80::1]:22/", Address("nvidia", "fe80::1", 22)),
    ],
)
def test_an_address_is_user_host_and_port(url, address):
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "nvidia@jetson",
        "ssh://",
        "ssh://-oProxyCommand=id",
        "ssh://-l@jetson",
        "ssh://a@b@c",
        "ssh://jetson;id",
        "ssh://jet son",
        "ssh://$(id)@jetson",
        "ssh://jetson:0",
        "ssh://jetson:65536",
        "ssh://jetson:22x",
        "ssh://jetson/etc/passwd",
        "ssh://nvidia:secret@jetson",
        "ssh://jetson\n",
        "http://jetson",
    ],
)
def test_an_address_of_anything_else_is_refused(url):
    with pytest.raises(BuilderError, match="not of the form"):
        parse_address(url)


def test_nothing_that_is_named_reaches_the_far_shell_unquoted():
    command = ssh_command(Address("nvidia", "jetson", 22), ["/opt/a b/scanside;id", "plan"], None)
    assert command[-3:] == ["--", "jetson", "'/opt/a b/scanside;id' plan"]
    assert "BatchMode=yes" in command
    assert not any("StrictHostKeyChecking" in word for word in command)
