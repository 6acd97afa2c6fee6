"""Print a config, or the config that one step of a stream resolves to."""

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
    parser.add_argument('--save-path', help='write to this file as well')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, cfg_options=args.cfg_options)
    if args.step is not None:
        from mmdefect.streams.runner import StreamRunner

        cfg = StreamRunner(cfg).resolve(args.step)
    print(cfg.pretty_text)
    if args.save_path:
        cfg.dump(args.save_path)


if __name__ == '__main__':
    main()
