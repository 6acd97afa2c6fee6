"""A backbone with the channels of a plan, for any config of mmpretrain or mmdet."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModule, PretrainedInit, initialize
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmdefect.pruning.channels.plan import ChannelPlan, plan_from_dict, read_plan
from mmdefect.pruning.channels.rebuild import cut_in_place, feature_widths
from mmdefect.registry import MODELS
from mmdefect.utils.pretrained import load_strictly

# What a plan of a classifier or detector calls its backbone.
PART = 'backbone'


@MODELS.register_module()
class PrunedBackbone(BaseModule):
    """Another backbone with fewer channels, in place of it in any config.

    Its children, parameters and state dict are those of the inner backbone, under the
    same names: a pruned classifier's checkpoint loads as it is, and learning rates by
    name, freezing, saliency and another pruning find the layers where they were.
    ``train()`` and other attributes are the inner one's, too.

    Weights come, by :meth:`init_weights`, from one of

    1. ``init_cfg`` here, of a network that is cut already (``prefix='backbone.'`` if it
       is a classifier's or detector's); what the inner one's names is not loaded then,
    2. ``init_cfg`` of type ``Pretrained`` (or ``pretrained``) of the inner backbone, of
       the whole network: they are loaded and then cut,
    3. else the inner backbone's own initialisation: random.

    Files of 1 and 2 have to hold every weight. Nothing but the plan is read before, so
    that testing needs no pretrained file. ``backbone`` may be a ``PrunedBackbone``.

    Args:
        backbone: The whole backbone's config, of any package (types without a prefix
            are looked up in the config's default scope), or a backbone: then the
            weights that it has are cut, and its ``init_cfg`` is not read.
        plan: A file, what it holds, or a plan. If its layers are called ``backbone.``
            something, as in a plan of a classifier, these are taken and others are not;
            else all are the backbone's.
        init_cfg: As in :class:`mmengine.model.BaseModule`.

    Raises:
        FileNotFoundError: There is no such plan, or later no such weights.
        TypeError: ``backbone`` or ``plan`` is something else.
        ValueError: The plan does not fit the backbone; weights of a whole network are
            to be cut by a plan that knows widths only; or, later, weights are missing
            or of another width.
    """

    _is_init: bool

    def __init__(
        self,
        *,
        backbone: Mapping[str, Any] | nn.Module,
        plan: str | Path | Mapping[str, Any] | ChannelPlan,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        self.plan = _backbone_part(plan)
        # None: a backbone with weights was given, and nothing is built again.
        self.whole_cfg = in_scope(backbone) if isinstance(backbone, Mapping) else None
        inner = _built(self.whole_cfg or backbone)
        if not init_cfg and self.plan.widths_only:
            _check_nothing_to_cut(inner, given=self.whole_cfg is None)
        cut_in_place(inner, self.plan)
        # In a tuple, so that it is no child, whose name would be part of all names.
        self._inner = (inner,)
        self._modules = inner._modules
        self._parameters = inner._parameters
        self._buffers = inner._buffers
        self._non_persistent_buffers_set = inner._non_persistent_buffers_set

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            # Not by self._inner: while being unpickled there is none.
            inner = self.__dict__.get('_inner')
            if inner is None:
                raise
            return getattr(inner[0], name)

    def forward(self, images: Tensor) -> Any:
        """Maps of the inner backbone: a tuple, ``(B, C, h, w)`` each."""
        return self._inner[0](images)

    def train(self, mode: bool = True) -> PrunedBackbone:
        """Switch as the inner backbone does, which may keep parts of it frozen."""
        self.training = mode
        self._inner[0].train(mode)
        return self

    def init_weights(self) -> None:
        """Fill with weights; see the class."""
        if self._is_init:
            print_log('PrunedBackbone has weights already: left alone', 'current')
            return
        ready, drawn = _pretrained(self.init_cfg)
        if self.whole_cfg is not None and not ready:
            self.load_state_dict(self._fresh().state_dict())
        if drawn:
            initialize(self, drawn)
        for cfg in ready:
            load_strictly(self, cfg)
        self._is_init = True

    def widths(self, size: int | tuple[int, int] = 224) -> list[int]:
        """Channels of each map that it gives: a neck's ``in_channels``.

        Args:
            size: Side, or height and width, of the image of zeros that is shown to it.
        """
        return _widths(self._inner[0], size)

    def _fresh(self) -> nn.Module:
        """The inner backbone anew, with the weights of its own config, cut."""
        whole: Any = _built(self.whole_cfg)
        if isinstance(whole, PrunedBackbone):
            whole.init_weights()
            cut_in_place(whole, self.plan)
        elif files := _files(whole):
            for cfg in files:
                load_strictly(whole, cfg)
            cut_in_place(whole, self.plan)
        else:
            # Random weights are drawn for the number of channels that there will be.
            cut_in_place(whole, self.plan)
            whole.init_weights()
        return whole

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Tensor], prefix: str, *args: Any
    ) -> None:
        inner = self._inner[0]
        # MMEngine only warns of another shape, and training would start from nothing.
        # A backbone that adapts some weights while it loads is left to do so.
        planned = set(self.plan.layers) if inner._load_state_dict_pre_hooks else None
        for name, own in inner.state_dict().items():
            given = state_dict.get(prefix + name)
            if given is None or given.shape == own.shape:
                continue
            if planned is None or {name, name.rpartition('.')[0]} & planned:
                raise ValueError(
                    f'{prefix}{name} of shape {tuple(given.shape)}: expected '
                    f'{tuple(own.shape)}, weights of a network that was cut to this '
                    'plan; give those of the whole one in the init_cfg of the inner '
                    'backbone'
                )
        inner._load_from_state_dict(state_dict, prefix, *args)


def pruned_widths(
    backbone: Mapping[str, Any],
    plan: str | Path | Mapping[str, Any] | ChannelPlan,
    size: int | tuple[int, int] = 224,
) -> list[int]:
    """Channels of each map of a pruned backbone, for the neck in a config.

    Args:
        backbone: Config of the whole one, its type with prefix: ``mmdet.ResNet``.
        plan: As for :class:`PrunedBackbone`.
        size: As for :meth:`PrunedBackbone.widths`.
    """
    inner = _built(backbone)
    cut_in_place(inner, _backbone_part(plan))
    return _widths(inner, size)


def _backbone_part(plan: Any) -> ChannelPlan:
    read = plan
    if isinstance(plan, (str, Path)):
        read = read_plan(plan)
    elif isinstance(plan, Mapping):
        read = plan_from_dict(plan)
    elif not isinstance(plan, ChannelPlan):
        raise TypeError(
            f'plan={plan!r}: expected a plan.json, what it holds, or a ChannelPlan'
        )
    named = any(name.startswith(f'{PART}.') for name in read.layers)
    return read.below(PART) if named else read


def in_scope(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A config that is built later, too, where types have the meaning of now."""
    current = DefaultScope.get_current_instance()
    scope = {} if current is None else {'_scope_': current.scope_name}
    return {**scope, **copy.deepcopy(dict(cfg))}


def _built(backbone: Any) -> nn.Module:
    if isinstance(backbone, nn.Module):
        return copy.deepcopy(backbone)
    if not isinstance(backbone, Mapping):
        raise TypeError(f'backbone={backbone!r}: expected a config or a module')
    return MODELS.build(copy.deepcopy(dict(backbone)))


def _pretrained(init_cfg: Any) -> tuple[list[Any], list[Any]]:
    """The entries that name a file, and the others."""
    entries: Sequence[Any] = (
        [init_cfg] if isinstance(init_cfg, Mapping) else init_cfg or []
    )
    names = ('Pretrained', PretrainedInit)
    files = [entry for entry in entries if entry['type'] in names]
    return files, [entry for entry in entries if entry['type'] not in names]


def _files(backbone: Any) -> list[Any]:
    """Files with weights that a backbone's own config names."""
    files, _ = _pretrained(getattr(backbone, 'init_cfg', None))
    if not files and isinstance(backbone, PrunedBackbone):
        return _files(backbone._inner[0])
    return files


def _check_nothing_to_cut(inner: nn.Module, given: bool) -> None:
    files = _files(inner)
    if files or given:
        weights = 'of the backbone' if given else f'in {files[0]["checkpoint"]}'
        raise ValueError(
            f'plan: expected indices to cut the weights {weights}, not widths alone; '
            'or give a backbone config without pretrained weights, or init_cfg with '
            'weights that are cut already'
        )


def _widths(backbone: nn.Module, size: int | tuple[int, int]) -> list[int]:
    height, width = (size, size) if isinstance(size, int) else size
    first = next(p for p in backbone.parameters() if p.ndim == 4)
    image = first.new_zeros(1, first.shape[1], height, width)
    return list(feature_widths(backbone, image))
