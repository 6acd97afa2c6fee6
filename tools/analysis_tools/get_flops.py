"""Print parameters and FLOPs of a detector, or of one step of a stream."""

from __future__ import annotations

import argparse

import mmdefect  # noqa: F401  first: it says what is not installed

# isort: split
from mmengine.config import DictAction

from mmdefect.apis import load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--step', type=int, help='resolve this step of the stream')
    parser.add_argument(
        '--shape', type=int, nargs=2, default=[800, 800], metavar=('H', 'W')
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override config entries, key=value',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, cfg_options=args.cfg_options)
    if args.step is not None:
        from mmdefect.streams.resolve import resolve_step_config

        cfg = resolve_step_config(cfg, args.step)

    from mmengine.analysis import get_model_complexity_info
    from mmengine.registry import MODELS, init_default_scope

    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model = MODELS.build(cfg.model).eval()
    info = get_model_complexity_info(model, (3, *args.shape), show_table=False)
    print(f'input      3 x {args.shape[0]} x {args.shape[1]}')
    print(f'parameters {info["params_str"]} ({info["params"]:,})')
    print(f'FLOPs      {info["flops_str"]} (one multiply-add counts as one)')


if __name__ == '__main__':
    main()
