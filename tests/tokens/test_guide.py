"""The guide's Python runs as it stands."""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


def test_the_python_of_the_guide_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/guides/tokens.md").read_text(), flags=re.DOTALL)
    names = {}
    for block in blocks:
        exec(block.replace('"out/tokens"', repr(str(tmp_path / "tokens"))), names)
    assert names["summary"].sounds == len(names["corpus"]) == 3 and not names["summary"].failed
    np.testing.assert_array_equal(names["piece"], names["sound"].codes[:, 100:175])
    np.testing.assert_array_equal(names["codes"], names["sound"].codes)
    assert names["row"].shape == (names["codes"].size,)
    assert sum(part.shape[1] for part in names["parts"]) > names["sound"].num_samples
    assert "torch.Size([" in capsys.readouterr().out
