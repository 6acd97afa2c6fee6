"""Child registries of MMEngine's, under the scope ``mmdefect``.

Write our types with the prefix (``type='mmdefect.GFLHead'``): the prefix imports this
module by itself, so a user's own mmdet or mmpretrain config changes one line.

MMEngine's ``locations`` import every module they name at the first look-up, so asking
for an anomaly model would import all of mmdet. Here a table says which module holds
which name, and only that module is imported.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from mmengine import registry as mmengine_registry
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import DefaultScope, Registry

# Lets `_base_ = 'mmdefect::...'` and the `mmdefect.` prefix find this package.
MODULE2PACKAGE.setdefault('mmdefect', 'mmdefect')
# Whose types stand in our configs without a prefix.
HOST_SCOPE = 'mmdet'
# In those of classifiers, which say so by their default scope.
CLASSIFIER_SCOPE = 'mmpretrain'
HOSTS = (HOST_SCOPE, CLASSIFIER_SCOPE)


class LazyRegistry(Registry):
    """A registry that imports the module of a name when the name is asked for.

    Args:
        modules: Which module registers which name.
    """

    def __init__(self, name: str, *, modules: dict[str, str], **kwargs: Any) -> None:
        super().__init__(name, scope='mmdefect', **kwargs)
        self.modules = modules

    def import_from_location(self) -> None:
        """Nothing to import ahead of time: :meth:`get` imports by name."""

    def get(self, key: str) -> Any:
        """Return the object registered as ``key``, with or without the prefix."""
        name = key.removeprefix('mmdefect.') if isinstance(key, str) else key
        if name in self.modules and name not in self._module_dict:
            import_module(self.modules[name])
        found = None
        if name not in self.modules and '.' not in name and (host := _marked_host()):
            # Its LoadAnnotations, and not mmcv's, which MMEngine's registry holds.
            found = self.parent.get(f'{host}.{name}')
        found = found or super().get(key)
        if found is None and _in_own_scope():
            hosts = (self.parent.get(f'{host}.{name}') for host in _hosts())
            found = next(filter(None, hosts), None)
        return found


def _in_own_scope() -> bool:
    """Whether something is being built out of a ``mmdefect::`` base.

    MMEngine marks what comes from such a base with ``_scope_='mmdefect'``, and most of
    it are types of mmdet or mmpretrain. Where none of these is the default scope,
    MMEngine's own names were tried first: a config that needs no mmdet does not import
    it.
    """
    current = DefaultScope.get_current_instance()
    return current is not None and current.scope_name == 'mmdefect'


def _marked_host() -> str | None:
    """Host in whose scope a part of a ``mmdefect::`` base is being built, if any.

    There its names mean what they mean in the base itself. A default scope ``mmdefect``
    has no host: MMEngine names the scopes of marks ``overwrite-...``.
    """
    if not _in_own_scope():
        return None
    for name, scope in reversed(DefaultScope._instance_dict.items()):
        if scope.scope_name != 'mmdefect' or not name.startswith('overwrite-'):
            return scope.scope_name if scope.scope_name in HOSTS else None
    return _asking_host()


def _hosts() -> tuple[str, ...]:
    """The host whose names are meant; where nothing tells, both, mmdet's first."""
    # MMEngine keeps the scopes, the latest last, and offers no way to list them.
    scopes = [scope.scope_name for scope in DefaultScope._instance_dict.values()]
    host = next((name for name in reversed(scopes) if name in HOSTS), _asking_host())
    return HOSTS if host is None else (host,)


def _asking_host() -> str | None:
    """Host whose registry is building, where no default scope tells.

    mmpretrain's inferencers set none: they build a pipeline by their own registry, and
    there the mark of a base must not turn its names into mmdet's.
    """
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code is Registry.build.__code__:
            scope: str = frame.f_locals['self'].scope
            if scope in HOSTS:
                return scope
        frame = frame.f_back
    return None


def _child(parent: str, modules: dict[str, str]) -> LazyRegistry:
    root: Registry = getattr(mmengine_registry, parent)
    return LazyRegistry(root.name, parent=root, modules=modules)


RUNNERS = _child('RUNNERS', {'StreamRunner': 'mmdefect.streams.runner'})
HOOKS = _child(
    'HOOKS',
    {
        'AnomalyMapHook': 'mmdefect.engine.hooks.pictures.anomaly_maps',
        'CalibrationHook': 'mmdefect.engine.hooks.calibration',
        'ChainCheckpointHook': 'mmdefect.engine.hooks.continual.chain',
        'ChannelsLastHook': 'mmdefect.engine.hooks.channels_last',
        'ClassCountHook': 'mmdefect.engine.hooks.class_count',
        'BoxCalibrationHook': 'mmdefect.engine.hooks.box_calibration',
        'BoxVisualizationHook': 'mmdefect.engine.hooks.pictures.draw_boxes',
        'ClsVisualizationHook': 'mmdefect.engine.hooks.pictures.draw_classes',
        'CompressionMemoryHook': 'mmdefect.engine.hooks.continual.compression_memory',
        'CoresetHook': 'mmdefect.engine.hooks.coreset',
        'EpochSeedHook': 'mmdefect.engine.hooks.epoch_seed',
        'ExactCheckpointHook': 'mmdefect.engine.hooks.exact_checkpoint',
        'FeatureCacheHook': 'mmdefect.engine.hooks.feature_cache',
        'FeatureStatisticsHook': 'mmdefect.engine.hooks.continual.feature_statistics',
        'FiniteLossHook': 'mmdefect.engine.hooks.finite_loss',
        'FreezeStrategyHook': 'mmdefect.engine.hooks.freeze',
        'ImportancePenaltyHook': 'mmdefect.engine.hooks.continual.weight_importance',
        'ProjectedUpdateHook': 'mmdefect.engine.hooks.continual.projected_update',
        'ResumableEarlyStoppingHook': 'mmdefect.engine.hooks.early_stopping',
        'SafeCheckpointHook': 'mmdefect.engine.hooks.safe_checkpoint',
        'SameBitsHook': 'mmdefect.engine.hooks.same_bits',
        'SamplePredictionsHook': 'mmdefect.engine.hooks.pictures.sample_predictions',
        'StrictPretrainedHook': 'mmdefect.engine.hooks.pretrained',
        'WeightAnchorHook': 'mmdefect.engine.hooks.continual.weight_anchor',
        'WeightImportanceHook': 'mmdefect.engine.hooks.continual.weight_importance',
    },
)
OPTIMIZERS = _child('OPTIMIZERS', {'MergedAdamW': 'mmdefect.engine.optimizers'})
OPTIM_WRAPPERS = _child(
    'OPTIM_WRAPPERS', {'CPUAmpOptimWrapper': 'mmdefect.engine.optim_wrapper'}
)
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'OPTIM_WRAPPER_CONSTRUCTORS',
    {'SpareOldRows': 'mmdefect.engine.optim_wrapper_constructor'},
)
DATASETS = _child(
    'DATASETS',
    {
        'AnomalyDataset': 'mmdefect.datasets.anomaly.dataset',
        'MVTecADDataset': 'mmdefect.datasets.anomaly.dataset',
        'VisADataset': 'mmdefect.datasets.anomaly.dataset',
        'CastingDataset': 'mmdefect.datasets.casting.dataset',
        'DefectDetDataset': 'mmdefect.datasets.boxes.dataset',
        'NEUDETDataset': 'mmdefect.datasets.boxes.neu_det',
        'DeepPCBDataset': 'mmdefect.datasets.boxes.deeppcb',
        'MemoryDataset': 'mmdefect.datasets.boxes.replay',
        'ReplayDataset': 'mmdefect.datasets.boxes.replay',
        'PairedMaskDataset': 'mmdefect.datasets.index_masks.dataset',
    },
)
DATA_SAMPLERS = _child(
    'DATA_SAMPLERS', {'ReplayBatchSampler': 'mmdefect.datasets.boxes.replay'}
)
_ANOMALY_TRANSFORMS = 'mmdefect.datasets.transforms.anomaly'
TRANSFORMS = _child(
    'TRANSFORMS',
    {
        'LoadCachedImage': 'mmdefect.datasets.transforms.loading',
        'LoadAnomalyImage': _ANOMALY_TRANSFORMS,
        'LoadAnomalyMask': _ANOMALY_TRANSFORMS,
        'AnomalyFlipRotate': _ANOMALY_TRANSFORMS,
        'PackAnomalyInputs': _ANOMALY_TRANSFORMS,
        'RandomRigid': 'mmdefect.datasets.transforms.rigid',
        'RehearseCrops': 'mmdefect.datasets.transforms.rehearsal',
        'LoadIndexMask': 'mmdefect.datasets.transforms.index_mask',
    },
)
MODEL_WRAPPERS = _child(
    'MODEL_WRAPPERS',
    {
        'DistributedModel': 'mmdefect.engine.model_wrapper',
        'ReplicatedModel': 'mmdefect.engine.model_wrapper',
    },
)
_DETECTION = 'mmdefect.models.detection'
_ANOMALY = 'mmdefect.models.anomaly'
_CLASSIFICATION = 'mmdefect.models.classification'
MODELS = _child(
    'MODELS',
    {
        'GFLHead': f'{_DETECTION}.gfl_head',
        'IncrementalGFLHead': f'{_DETECTION}.incremental_gfl_head',
        'IncrementalGFL': f'{_DETECTION}.incremental_gfl',
        'ATSSHead': f'{_DETECTION}.atss_head',
        'IncrementalATSSHead': f'{_DETECTION}.atss_head',
        'IncrementalATSS': f'{_DETECTION}.incremental_atss',
        'DetectionMobileNetV2': f'{_DETECTION}.mobilenet_v2',
        'SelectiveDistillation': f'{_DETECTION}.distill.strategies',
        'ElasticDistillation': f'{_DETECTION}.distill.strategies',
        'LogitDistillation': f'{_DETECTION}.distill.strategies',
        'QualityDistillation': f'{_DETECTION}.distill.strategies',
        'CrossHeadDistillation': f'{_DETECTION}.distill.strategies',
        'IUF': f'{_ANOMALY}.iuf',
        'IncrementalCoreset': f'{_ANOMALY}.coreset',
        'ProductMemory': f'{_ANOMALY}.product_memory.model',
        'ObjectConditioner': f'{_ANOMALY}.conditioner',
        'SemanticCompressionLoss': f'{_ANOMALY}.losses',
        'AnomalyDataPreprocessor': f'{_ANOMALY}.preprocessor',
        'EfficientNetLite': f'{_ANOMALY}.efficientnet_lite',
        'LunaNet': f'{_CLASSIFICATION}.luna',
        'AlexNetAdaptive': f'{_CLASSIFICATION}.alexnet',
        'FlattenNeck': f'{_CLASSIFICATION}.neck',
        'DefectClsHead': f'{_CLASSIFICATION}.head',
        'HalfPaddedConv2d': f'{_CLASSIFICATION}.padding',
        'FTLAlexNet': f'{_CLASSIFICATION}.ftl_alexnet',
        'PrunedBackbone': f'{_CLASSIFICATION}.pruned',
        'AverageDefectScoreTTA': f'{_CLASSIFICATION}.tta',
        'DistilledClassifier': f'{_CLASSIFICATION}.distilled',
    },
)
METRICS = _child(
    'METRICS',
    {
        'AnomalyMetric': 'mmdefect.evaluation.anomaly_metric',
        'DefectClassMetric': 'mmdefect.evaluation.defect_class_metric',
        'SaliencyMetric': 'mmdefect.evaluation.saliency_metric',
        'GroupedCocoMetric': 'mmdefect.evaluation.grouped_coco',
    },
)
TASK_UTILS = _child(
    'TASK_UTILS',
    {
        'AnomalyStream': 'mmdefect.streams.anomaly',
        'DetectionStream': 'mmdefect.streams.detection',
        'SegIoU': 'mmdefect.pruning.scoring.scorers',
        'SegContrast': 'mmdefect.pruning.scoring.scorers',
        'MaskedTaylor': 'mmdefect.pruning.scoring.scorers',
        'L1Norm': 'mmdefect.pruning.scoring.scorers',
        'Taylor': 'mmdefect.pruning.scoring.scorers',
        'RandomScore': 'mmdefect.pruning.scoring.scorers',
    },
)
FUNCTIONS = _child('FUNCTIONS', {'seed_worker': 'mmdefect.engine.randomness'})

# We add nothing to these, but `_scope_='mmdefect'` is looked up in them too.
OTHERS = [
    _child(name, {})
    for name, root in vars(mmengine_registry).items()
    if isinstance(root, Registry) and name not in globals()
]
