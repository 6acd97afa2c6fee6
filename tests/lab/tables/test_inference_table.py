"""Tables of inference, from a few numbers and through a document."""

from __future__ import annotations

import json
from pathlib import Path

from lab.tables.benchmark_table import missed
from lab.tables.inference_table import inference_lines, is_inference
from lab.tables.results_table import render_text

METRICS = {
    'gfl_b1_eager_p50_ms': 32.34,
    'gfl_b1_eager_p95_ms': 40.0,
    'gfl_b1_eager_peak_bytes': 512_400_000,
    'gfl_b1_ort_p50_ms': 11.02,
    'gfl_b1_ort_p95_ms': 12.5,
    'gfl_b1_ort_peak_bytes': 120_000_000,
    'gfl_b1_ort/eager': 0.3406,
    'gfl_b1_ort/eager_q25': 0.33,
    'gfl_b1_ort/eager_q75': 0.36,
    'gfl_b1_best/eager': 0.3406,
    'coreset_b8_eager_p50_ms': 300.0,
    'coreset_b8_eager_p95_ms': 310.0,
    'coreset_b1_best/eager': 0.81,
    'edge_install_mb': 301.5,
}
TABLE = """\
| ms a batch: median / p95 (of eager) | batch | torch eager | torch.compile | \
ONNX Runtime | OpenVINO |
| --- | ---: | ---: | ---: | ---: | ---: |
| `gfl` | 1 | 32.3 / 40.0 | – | 11.0 / 12.5 (0.34) | – |
| `coreset` | 8 | 300.0 / 310.0 | – | – | – |

| peak memory of a process, MB | batch | torch eager | torch.compile | ONNX Runtime | \
OpenVINO |
| --- | ---: | ---: | ---: | ---: | ---: |
| `gfl` | 1 | 512 | – | 120 | – |
| `coreset` | 8 | – | – | – | – |

| number | measured | quartiles | ours, other | target |
| --- | ---: | ---: | ---: | ---: |
| `gfl_b1_best/eager` | 0.341 | – | – | ≤ 0.80, met |
| `coreset_b1_best/eager` | 0.810 | – | – | ≤ 0.80, missed |
| `edge_install_mb` | 301.500 | – | – | – |
"""


def test_smoke() -> None:
    assert is_inference(METRICS)
    assert not is_inference({'gfl_iter/eager': 1.0, 'sd_idd_iter/gfl_iter': 1.0})
    assert '\n'.join(inference_lines(METRICS)) + '\n' == TABLE
    assert missed(METRICS) == ['coreset_b1_best/eager']


def test_feature_in_a_document(tmp_path: Path) -> None:
    results = {
        'name': 'bench_inference',
        'command': 'python benchmark.py --suite inference',
        'commit': '0123456789abcdef',
        'date': '2026-01-02',
        'hardware': 'A CPU',
        'dataset': 'random images',
        'seeds': [0],
        'metrics': METRICS,
    }
    (tmp_path / 'b.json').write_text(json.dumps(results), encoding='utf-8')
    text = render_text('<!-- results:b -->\n<!-- /results -->\n', tmp_path)
    assert TABLE in text
    assert text.count('random images, commit `0123456789`') == 1
