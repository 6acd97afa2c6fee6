"""The papers' tables at the papers' size: which presets, and what is set in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """A stream of a table.

    Attributes:
        config: Below ``configs/``, without ``.py``.
        options: Overrides of its config.
        own_base: Whether its step 0 is not that of the table's first row.
    """

    config: str
    options: tuple[str, ...] = ()
    own_base: bool = False


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """Rows that are compared; the first one is trained first, for its step 0.

    Attributes:
        dataset: Its name in the results file.
        rows: By name.
        options: Overrides of all configs.
        flags: Of tools/train.py.
        notes: What differs from the paper's setting.
    """

    dataset: str
    rows: Mapping[str, Row]
    options: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    notes: str = ''


# One process with the images of eight GPUs of two.
_BATCH = (
    'train_dataloader.batch_size=16',
    'train_dataloader.num_workers=12',
    'test_dataloader.batch_size=8',
    'test_dataloader.num_workers=4',
)
_RESNET50 = (
    'model.backbone.style=caffe',
    'model.backbone.init_cfg.prefix=backbone',
    'model.backbone.init_cfg.checkpoint=data/weights/resnet50_caffe-rgb-mmpretrain.pth',
)
# The teacher's rate is for two images, and its warm-up for as many iterations of them.
_RATE = ('optim_wrapper.optimizer.lr=0.008', 'param_scheduler.0.end=62')
_BASE_RATE = tuple(f'stream.base.{option}' for option in _RATE)
_R50_NOTES = (
    'ResNet-50 of Caffe style (Keras, ImageNet); mixed precision; 16 images a batch, '
    "the teacher's rate of 1e-3 for two images scaled to them"
)


def _boxes(data: str, dataset: str) -> PaperTable:
    presets = {
        'finetune': 'gfl_stream/finetune',
        'erd': 'erd/erd',
        'sd_idd': 'sd_idd/sd-idd',
        'joint': 'gfl_stream/joint',
    }
    rows = {
        name: Row(
            config=f'{preset}_r50_fpn_2x_{data}_3+3',
            # It trains as the teacher in every step.
            options=_RATE if name == 'joint' else _BASE_RATE,
        )
        for name, preset in presets.items()
    }
    return PaperTable(
        dataset=dataset,
        rows=rows,
        options=(*_BATCH, *_RESNET50),
        flags=('--amp',),
        notes=_R50_NOTES,
    )


_MVTEC = '[bottle,pill,grid,screw,transistor,toothbrush]'
_PAPER_TRANSFORMER = tuple(
    f'model.transformer.{key}={value}'
    for key, value in {'width': 256, 'depth': 4, 'heads': 8, 'ffn': 1024}.items()
)
_IUF = (
    *_PAPER_TRANSFORMER,
    'optim_wrapper.optimizer.lr=1e-4',
    'stream.base.optim_wrapper.clip_grad.max_norm=0.1',
    'stream.base.train_cfg.max_epochs=300',
    'stream.increment.train_cfg.max_epochs=100',
)


def _products(method: str, *options: str, own_base: bool = False) -> Row:
    config = f'{method}_resnet50-caffe_cpu_products_3-1x2'
    return Row(config=config, options=options, own_base=own_base)


TABLES: dict[str, PaperTable] = {
    'neu-det': _boxes('neu-det', 'NEU-DET (1,440 / 360 images, committed split)'),
    'deeppcb': _boxes('deeppcb', 'DeepPCB (1,000 / 500 images, official split)'),
    'mvtec': PaperTable(
        dataset='six categories of MVTec-AD: bottle, pill, grid | screw | transistor | '
        'toothbrush',
        rows={
            'finetune': _products('anomaly_stream/finetune', *_IUF),
            'iuf': _products('iuf/iuf', *_IUF, 'method.optim_wrapper.optimizer.lr=1.0'),
            'uniad': _products('uniad/uniad', *_IUF, own_base=True),
            'coreset': _products('coreset/coreset', own_base=True),
        },
        options=(
            'stream.protocol=3-1x3',
            *(
                f'{loader}_dataloader.dataset.{key}={value}'
                for loader in ('train', 'test')
                for key, value in {
                    'data_root': 'data/ten_products/',
                    'metainfo.classes': _MVTEC,
                }.items()
            ),
            'train_dataloader.num_workers=8',
            'test_dataloader.num_workers=4',
        ),
        notes='ResNet-50 of Caffe style (Keras, ImageNet) instead of EfficientNet-b4, '
        "the paper's transformer, 300 and 100 epochs instead of 1,000 and more",
    ),
    'toy': PaperTable(
        dataset='toy NEU-DET (generated)',
        rows={
            'finetune': Row(config='gfl_stream/finetune_r18_fpn_toy_neu-det_3+3'),
            'sd_idd': Row(config='sd_idd/sd-idd_r18_fpn_toy_neu-det_3+3'),
        },
    ),
}
