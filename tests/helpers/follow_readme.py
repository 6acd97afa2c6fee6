"""Follow the README and the page of NEU-DET in a fresh clone: every command, in order.

    git clone REPOSITORY mmdefect && cd mmdefect
    cp -r FOLDER_OF_NEU-DET data/NEU-DET
    cp TORCHVISION_FILE data/weights/
    python3 tests/helpers/follow_readme.py docs/results/readme.json data/weights/FILE

It needs nothing that is not in the clone: the first commands install all. What each
command printed is in ``work_dirs/readme/``; the JSON holds what was run for it, its
exit status and its seconds, also of commands that failed.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOGS = ROOT / 'work_dirs/readme'
PAGES = ('README.md', 'docs/start/neu_det.md')
# "Without a GPU, take the presets ... and make their weights with one command".
WEIGHTS = 'python tools/model_converters/torchvision_mobilenet_v2.py'
WITHOUT_A_GPU = {
    'finetune_r50_fpn_2x_neu-det_3+3': 'finetune_mobilenet-v2_fpn_cpu_neu-det_3+3',
    'lwf_r50_fpn_2x_neu-det_3+3': 'lwf_mobilenet-v2_fpn_cpu_neu-det_3+3',
}
EPOCHS = 'train_cfg.max_epochs=2'
TESTS = 'PYTEST_ARGS=tests/functional'
SHORTENED = (
    f'make test has {TESTS}, since the whole suite runs on every change; '
    'the ResNet-50 presets are replaced by those that the page names for machines '
    f'without a GPU, trained with --cfg-options {EPOCHS} instead of 24 epochs a step'
)


def commands(text: str) -> list[str]:
    """Return what shell blocks hold, continued lines joined, without comments."""
    blocks = re.findall(r'^```shell\n(.*?)^```', text, re.S | re.M)
    lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
    plain = (' '.join(re.sub(r'(^|\s)#.*', '', line).split()) for line in lines)
    return [line for line in plain if line]


def as_run(command: str) -> str:
    """Return what is run for a command, itself where nothing is said above."""
    for long, short in WITHOUT_A_GPU.items():
        command = command.replace(long, short)
    if command == 'make test':
        return f'{command} {TESTS}'
    if not command.startswith('tools/dist_train.sh $CONFIG'):
        return command
    return f'{command} {"" if "--cfg-options" in command else "--cfg-options "}{EPOCHS}'


def script(lines: list[str]) -> str:
    """Return one bash script, so that variables and the environment carry over."""
    parts = ['set -u']
    for number, line in enumerate(lines):
        if re.fullmatch(r'\w+=\S*', line):
            parts.append(line)
            continue
        log = shlex.quote(str(LOGS / f'{number:02}.log'))
        parts += [
            f'echo "== {number:02}" {shlex.quote(line)}',
            'begin=$SECONDS',
            f'{{ {line}; }} >{log} 2>&1 </dev/null',
            f'echo "$? $((SECONDS - begin))" >>{shlex.quote(str(LOGS / "status"))}',
        ]
    return '\n'.join(parts)


def main(out: str, weights: str) -> int:
    """Run all, with weights of MobileNetV2; return how many commands failed."""
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / 'status').unlink(missing_ok=True)
    text = '\n'.join((ROOT / page).read_text(encoding='utf-8') for page in PAGES)
    lines = [as_run(command) for command in commands(text)]
    lines.insert(lines.index('source .venv/bin/activate') + 1, f'{WEIGHTS} {weights}')
    subprocess.run(['bash', '-c', script(lines)], cwd=ROOT, check=False)
    rows = (LOGS / 'status').read_text(encoding='utf-8').split()
    ran = [line for line in lines if not re.fullmatch(r'\w+=\S*', line)]
    status, seconds = list(map(int, rows[::2])), list(map(float, rows[1::2]))
    subprocess.run(
        [
            ROOT / '.venv/bin/python',
            '-c',
            WRITE,
            *sys.argv[1:],
            repr((ran, status, seconds)),
        ],
        cwd=ROOT,
        check=True,
    )
    return sum(map(bool, status))


# In the environment that the first command made.
WRITE = f"""
import ast, sys
from lab.results import write_results
ran, status, seconds = ast.literal_eval(sys.argv[3])
metrics = {{}}
for line, code, duration in zip(ran, status, seconds, strict=True):
    metrics[f'seconds of: {{line}}'] = duration
    metrics[f'exit status of: {{line}}'] = code
write_results(
    sys.argv[1], name='readme', dataset='NEU-DET, and drawn data', seeds=[0],
    command='python3 tests/helpers/follow_readme.py ' + ' '.join(sys.argv[1:3]),
    metrics=metrics, duration_s=sum(seconds), notes={SHORTENED!r})
"""


if __name__ == '__main__':
    raise SystemExit(main(*sys.argv[1:3]))
