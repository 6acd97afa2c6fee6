"""Print parameters and FLOPs of the model of a config, or of one step of a stream."""

from __future__ import annotations

import argparse

import mmdefect  # noqa: F401  first: it says what is not installed

# isort: split
from mmengine.config import Config, DictAction

from mmdefect.apis import load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--step', type=int, help='resolve this step of the stream')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='size of the image; by default that of the test pipeline',
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, cfg_options=args.cfg_options)
    if args.step is not None:
        from mmdefect.streams.stream import resolve_step_config

        cfg = resolve_step_config(cfg, args.step)

    from mmengine.analysis import get_model_complexity_info
    from mmengine.registry import MODELS, init_default_scope

    height, width = args.shape or image_size_of(cfg)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model = MODELS.build(cfg.model).eval()
    info = get_model_complexity_info(model, (3, height, width), show_table=False)
    print(f'input      3 x {height} x {width}')
    print(f'parameters {info["params_str"]} ({info["params"]:,})')
    print(f'FLOPs      {info["flops_str"]} (one multiply-add counts as one)')


def image_size_of(cfg: Config) -> tuple[int, int]:
    from mmdefect.comparison.run import image_size

    try:
        return image_size(cfg)
    except ValueError as error:
        raise ValueError(f'{error}; give it with --shape H W') from None


if __name__ == '__main__':
    main()
