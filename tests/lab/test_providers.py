"""The provider in docs/providers.md, run as it stands there: networks come, stay as they are, and are let go."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lab as package
from lab.api import ProblemError
from lab.laboratory import Lab

pytestmark = [pytest.mark.netns, pytest.mark.ovs]

PAGE = (Path(package.__file__).parent.parent / "docs" / "providers.md").read_text()


class Provider:
    """The program of the page, and the file that it keeps the networks equal to."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._program, self._file = folder / "provider.py", folder / "tenants.json"
        (text,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        self._program.write_text(text)

    def run(self, tenants: dict[str, Any]) -> tuple[list[str], str]:
        """Let it run once; return the lines of its output, and its complaints."""
        self._file.write_text(json.dumps(tenants))
        words = [sys.executable, str(self._program), str(self._file)]
        environment = {"HEDDLE_SERVER": self._lab.api.url}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.splitlines(), done.stderr


@pytest.fixture
def provider(lab: Lab, tmp_path: Path) -> Provider:
    return Provider(lab, tmp_path)


def networks(lab: Lab) -> dict[str, str]:
    return {each["name"]: each["provider"] for each in lab.api.get("/v1/networks")["networks"]}


def test_networks_come_stay_and_go(lab: Lab, provider: Provider) -> None:
    (example,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    tenants = json.loads(example)
    before = networks(lab)
    assert provider.run(tenants) == (["made east", "made west"], "")
    assert networks(lab) == {**before, "east": "acme", "west": "acme"}
    assert provider.run(tenants) == ([], "")
    with pytest.raises(ProblemError, match="acme"):
        lab.api.delete("/v1/networks/east")
    assert provider.run({}) == (["let east go", "let west go"], "")
    assert networks(lab) == before


def test_a_refusal_concerns_one_tenant(lab: Lab, provider: Provider) -> None:
    vnid = lab.api.get("/v1/networks/red")["vnid"]
    said, complaints = provider.run({"bad": {"vnid": vnid}, "good": {}})
    assert said == ["made good"]
    assert f'network "bad": VNID {vnid} belongs to network "red"' in complaints
    assert provider.run({})[0] == ["let good go"]
