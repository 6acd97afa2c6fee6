"""One memory for every product: recognised, compared with its own, alarmed at 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from mmengine.dist import all_gather_object
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmdefect.functional.maps import enlarge_maps
from mmdefect.functional.tolerance import ToleranceLimit
from mmdefect.models.anomaly.features import FrozenFeatures
from mmdefect.models.anomaly.product_memory.bank import ProductBank
from mmdefect.models.anomaly.product_memory.banks import (
    filled_of,
    learned_label,
    moved_banks,
    recognise,
    share_budget,
)
from mmdefect.models.anomaly.product_memory.learning import learn, summary
from mmdefect.models.anomaly.product_memory.note import (
    NOTE_BYTES,
    check_note,
    check_size,
    read_note,
    settings_of,
    write_note,
)
from mmdefect.models.anomaly.product_memory.recipe import Recipe
from mmdefect.models.anomaly.product_memory.seen import (
    VIEWS,
    SeenImage,
    SeenProduct,
    digest_of,
    views_of,
)
from mmdefect.models.anomaly.reservoir import image_key
from mmdefect.registry import MODELS
from mmdefect.structures import AnomalySample
from mmdefect.utils.checks import check_choice, check_number
from mmdefect.utils.distributed import on_main_process

ROUTES = ('image', 'given', 'all')


@MODELS.register_module()
class ProductMemory(BaseModel):
    """A bank of normal patches for every product, and an alarm that is certified.

    PatchCore (Roth et al., CVPR 2022) on frozen features, with a memory of its own for
    every product: its patches in the directions in which they vary, whitened, and a
    greedy coreset of them in order, so that a prefix is the best smaller one. An image
    is compared with the product it is recognised as, so inference costs the same for
    ten products and for a hundred. A step learns its new products from their good
    images and leaves what it knows of others alone, bit by bit.

    Some good images are held out, and the alarm of a product lies where they certify
    its rate of false alarms. Maps and scores are divided by it: above 1 is an alarm,
    whatever the product.

    Train it for one epoch with :class:`~mmdefect.engine.hooks.coreset.CoresetHook`.

    Args:
        backbone: Frozen backbone with one or several outputs, or its config.
        in_channels: Sum of their channels.
        num_classes: Products seen so far.
        grid: Side of the feature map.
        pool: Neighbours over which each output is averaged, see
            :class:`~mmdefect.models.anomaly.features.FrozenFeatures`.
        per_class: Patches that are kept of a product.
        candidates: Patches of a product that they are chosen from: an even sample.
        budget_mb: Megabytes (10^6 bytes) for all products together. Each has an equal
            share and keeps as many of its patches as fit, the first ones.
        pca: Share of the variance that the kept directions hold; ``None``: all.
        whiten: Shrinkage of the covariance, see
            :func:`~mmdefect.functional.whitening.fit_subspace`; ``None``: no whitening.
        window: A patch is compared with patches at most so many places away; ``None``:
            with all; ``'auto'``: whatever makes held-out good images differ least.
        search: What makes a patch anomalous: ``'bank'``, its distance to the nearest
            one; ``'subspace'``, the part outside the kept directions (SubspaceAD, CVPR
            2026); ``'gaussian'``, its Mahalanobis distance from the mean (PaDiM, ICPR
            2020, with one Gaussian for all places).
        score: An image's score: ``'top_mean'`` of its patches, or their ``'max'``.
        top: Share of the patches that ``'top_mean'`` averages.
        sigma: Deviation of the Gaussian that smooths a map, in pixels of the image.
        route: How the product is known: from the ``'image'``, ``'given'`` by the sample
            (``told_product`` or ``class_label``), or ``'all'``: the one it suits best.
            A ``told_product`` is always believed.
        margin: An image farther from its product than the farthest good one held out,
            times this, and most of whose patches lie above the alarm, shows an unknown
            product; ``None``: none does.
        even: Whether places whose good patches differ much count less, such as those at
            the border of an image, where the encoder pads; from 16 good images on.
        hold_out: Share of the good images that is not remembered but scored; 0: no
            alarm. See :func:`~mmdefect.models.anomaly.product_memory.learning.learn`.
        alarm: ``rate`` of false alarms that is wanted at most, and ``confidence``.
        augment: Further views of a good image that are learned, too: of ``'hflip'``,
            ``'vflip'`` and ``'rot90'`` those under which the product may be seen.
        replace: Whether a product that is known may be learned anew.
        data_preprocessor: As for MMEngine's ``BaseModel``; ours by default. There is no
            ``init_cfg``: a backbone has its own, a step starts from the one before.

    Raises:
        ValueError: A setting is out of its range.
    """

    #: Banks have a size of their own each: :meth:`moved` takes them over.
    class_keys: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        backbone: Mapping[str, Any] | nn.Module,
        in_channels: int,
        num_classes: int,
        grid: int = 28,
        pool: int | None = 3,
        per_class: int = 1000,
        candidates: int = 20_000,
        budget_mb: float | None = None,
        pca: float | None = 0.99,
        whiten: float | None = 0.07,
        window: int | str | None = None,
        search: str = 'bank',
        score: str = 'top_mean',
        top: float = 0.01,
        sigma: float = 4.0,
        route: str = 'image',
        margin: float | None = 2.0,
        even: bool = True,
        hold_out: float = 0.2,
        alarm: Mapping[str, float] | None = None,
        augment: Sequence[str] = (),
        replace: bool = False,
        data_preprocessor: Mapping[str, Any] | nn.Module | None = None,
    ) -> None:
        super().__init__(
            data_preprocessor=data_preprocessor
            or {'type': 'mmdefect.AnomalyDataPreprocessor'}
        )
        wanted = {'rate': 0.05, 'confidence': 0.95, **(alarm or {})}
        self.recipe = Recipe(
            per_class=per_class,
            candidates=candidates,
            pca=pca,
            whiten=whiten,
            window=window,
            search=search,
            score=score,
            top=top,
            even=even,
            hold_out=hold_out,
            **wanted,
        )
        check_choice('model.route', route, ROUTES)
        for view in augment:
            check_choice('model.augment', view, VIEWS)
        check_number('model.sigma', sigma, 0)
        self.features = FrozenFeatures(backbone=backbone, grid=grid, pool=pool)
        self.in_channels = in_channels
        self.budget_mb = budget_mb
        self.sigma = float(sigma)
        self.route = route
        self.margin = margin
        self.augment = tuple(augment)
        self.replace = replace
        self.banks = nn.ModuleList(ProductBank() for _ in range(num_classes))
        self.register_buffer('note', torch.zeros(NOTE_BYTES, dtype=torch.uint8))
        self.note: Tensor
        self._seen: dict[int, SeenProduct] = {}
        self._agreed = False
        self._limits: list[ToleranceLimit | None] | None = None

    @property
    def needs_images(self) -> bool:
        """Whether features alone are not enough."""
        return bool(self.augment)

    def init_weights(self) -> None:
        """Load the backbone."""
        self.features.init_weights()

    # -- learning -----------------------------------------------------------------

    @torch.no_grad()
    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """Look at a batch and keep its features until the step is finished.

        Raises:
            ValueError: A product is known already and ``replace`` is off, images have
                another size than those before, features are not finite, or the memory
                was learned with another encoder or other settings.
        """
        data = self.data_preprocessor(data, True)
        inputs, samples = data['inputs'], data['data_samples']
        for sample in samples:
            self._check_new(sample)
        self._agree(_size_of(inputs, samples[0]))
        views = [self.patches(inputs)]
        turned = views_of(inputs, self.augment)
        views += [self.patches({'images': images}) for images in turned]
        halves = torch.stack(views, dim=1).half().cpu()
        for place, sample in enumerate(samples):
            self._see(sample, views[0][place], halves[place], digest_of(inputs, place))
        return {'images': torch.tensor(float(len(samples)))}

    def _check_new(self, sample: AnomalySample) -> None:
        label = int(sample.class_label)
        if label not in self._seen and self.banks[label].is_filled and not self.replace:
            images = int(self.banks[label].facts[0])
            raise ValueError(
                f'product {sample.class_name!r} was learned already, from {images} '
                'good images: expected a new product; to learn it anew, which forgets '
                'those and sets another alarm, set model.replace=True'
            )

    def _see(
        self, sample: AnomalySample, plain: Tensor, views: Tensor, digest: str
    ) -> None:
        if not bool(views.isfinite().all()):
            raise ValueError(
                f'{sample.img_path}: its features reach {float(plain.abs().max()):g}: '
                'expected finite ones up to 65504, which float16 can hold; check the '
                'encoder and its weights'
            )
        image = SeenImage(
            key=image_key(sample.img_path),
            patches=views.flatten(0, 1),
            count=len(plain),
            embedding=self.embeddings(plain[None])[0].cpu(),
        )
        name, label = str(sample.class_name), int(sample.class_label)
        self._seen.setdefault(label, SeenProduct(name, self.recipe)).add(image, digest)

    @torch.no_grad()
    def finish_step(self) -> None:
        """Learn the products that all processes have seen.

        Raises:
            ValueError: One cannot be learned, see
                :func:`~mmdefect.models.anomaly.product_memory.learning.learn`, or the
                budget is too small for so many.
        """
        seen: dict[int, SeenProduct] = {}
        for part in all_gather_object(self._seen):
            for label, found in part.items():
                product = seen.setdefault(label, SeenProduct(found.name, self.recipe))
                product.merge(found)
        self._seen = {}

        def learned() -> dict[int, dict[str, Tensor]]:
            return {
                label: dict(learn(product).named_buffers())
                for label, product in sorted(seen.items())
            }

        for label, content in on_main_process(learned).items():
            self.banks[label].fill(content)
        self._limits = None
        if self.budget_mb is not None:
            share_budget(self.banks, self.budget_mb)
        for label, product in sorted(seen.items()):
            told = summary(product.name, self.banks[label], self.alarms()[label])
            print_log(told, 'current')

    # -- what it was learned with -------------------------------------------------

    def learned_with(self) -> dict[str, Any] | None:
        """Settings that the memory was learned with; ``None`` before it was."""
        return read_note(self.note)

    def _agree(self, size: Sequence[int] | None) -> None:
        """Write down what the memory is learned with, or compare with what stands."""
        known = self.learned_with()
        if known is None:
            write_note(self.note, settings_of(self, size))
        elif not self._agreed:
            check_note(known, settings_of(self, known['size']))
        self._agreed = True
        if known is not None:
            check_size(known, size)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._agreed, self._limits = False, None
        super()._load_from_state_dict(*args, **kwargs)

    def make_room(self, state: Mapping[str, Tensor]) -> None:
        """Give the banks the sizes of weights that are to be loaded."""
        for number, bank in enumerate(self.banks):
            bank.make_room(state, f'banks.{number}.')

    def moved(
        self,
        state: Mapping[str, Tensor],
        old_classes: Sequence[str],
        new_classes: Sequence[str],
    ) -> dict[str, Tensor]:
        """Weights of fewer products, with their banks where the products are now.

        Args:
            state: Of a model of ``old_classes``.
            old_classes: Its products, in label order.
            new_classes: Products of this model, in label order; all old ones are among
                them.

        Returns:
            All weights of this model; banks of new products are its own, empty ones.
        """
        found = moved_banks(state, old_classes, new_classes)
        self.make_room(found)
        own = self.state_dict()
        fresh = [k for k in own if k.startswith('banks.') and k not in found]
        return found | {key: own[key] for key in fresh}

    # -- predicting ---------------------------------------------------------------

    def alarms(self) -> list[ToleranceLimit | None]:
        """Threshold of every product's alarm and what it is worth, in label order.

        ``None`` where the product is not learned, or without held-out images.
        """
        if self._limits is None:
            wanted = (self.recipe.rate, self.recipe.confidence)
            self._limits = [bank.limit(*wanted) for bank in self.banks]
        return self._limits

    def patches(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Features of every place, ``(B, grid * grid, C)``."""
        features = self.features.of(inputs, self.in_channels)
        return features.flatten(2).transpose(1, 2)

    def embeddings(self, patches: Tensor) -> Tensor:
        """What images look like on average, ``(B, C)``, of length 1."""
        return F.normalize(patches.mean(dim=1), dim=1)

    @torch.no_grad()
    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor],
        data_samples: Sequence[AnomalySample] | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Maps ``(B, 1, grid, grid)``, or samples with ``mode='predict'``.

        A sample gets ``pred_map`` at the size of its image file, ``pred_score``,
        ``pred_product`` (-1: unknown, compared with the nearest one), and
        ``pred_alarm`` where its product has an alarm or is unknown.

        Raises:
            ValueError: There is nothing in memory, or it was learned with other
                settings, the images have another size, a feature is not finite, a
                product that was given is not learned, or the mode is another one.
        """
        check_choice('mode', mode, ('predict', 'tensor'))
        if not filled_of(self.banks):
            raise ValueError(
                'memory without products: expected a trained model; train it for an '
                'epoch with mmdefect.CoresetHook'
            )
        given = {'images': inputs} if isinstance(inputs, Tensor) else inputs
        samples = list(data_samples or [])
        self._agree(_size_of(given, samples[0] if samples else None))
        patches = self.patches(given)
        labels, known = self._products(patches, samples)
        maps = self._maps(patches, labels)
        good = self._mostly_good(maps, labels)
        known = [a or b for a, b in zip(known, good, strict=True)]
        if not bool(maps.isfinite().all()):
            raise ValueError(
                'features are NaN or infinite: expected finite ones; check the image '
                'and the weights of the encoder'
            )
        side = self.features.grid
        if mode == 'tensor':
            return maps.unflatten(1, (1, side, side))
        return self._predicted(maps.unflatten(1, (side, side)), samples, labels, known)

    def _products(
        self, patches: Tensor, samples: Sequence[AnomalySample]
    ) -> tuple[list[int], list[bool]]:
        """Label of the product that each image is compared with; is it known?"""
        labels, sure = recognise(self.embeddings(patches), self.banks, self.margin)
        if self.route == 'all':
            labels = self._best(patches)
        for number, sample in enumerate(samples):
            told = sample.get('told_product')
            if told is None and self.route == 'given':
                told = sample.get('class_label')
            if told is not None:
                labels[number] = learned_label(int(told), self.banks)
                sure[number] = True
        if self.route == 'given' and not samples:
            raise ValueError(
                "model.route='given' and images without samples: expected samples "
                "with told_product; give them, or set model.route='image'"
            )
        return labels, sure

    def _mostly_good(self, maps: Tensor, labels: Sequence[int]) -> list[bool]:
        """Whether most of an image is what its product looks like, defect or not."""
        alarms = self.alarms()
        below = ((maps <= 1).float().mean(dim=1) >= 0.5).tolist()
        return [
            alarms[label] is not None and good
            for label, good in zip(labels, below, strict=True)
        ]

    def _best(self, patches: Tensor) -> list[int]:
        """The products whose memories the images suit best."""
        filled = filled_of(self.banks)
        found = torch.stack(
            [
                self._scores(self._maps(patches, [label] * len(patches)))
                for label in filled
            ]
        )
        return [filled[place] for place in found.argmin(dim=0).tolist()]

    def _scores(self, maps: Tensor) -> Tensor:
        return self.recipe.scores(maps)

    def _maps(self, patches: Tensor, labels: Sequence[int]) -> Tensor:
        """How unlike its product each patch is, 1 at the alarm, ``(B, N)``."""
        maps = patches.new_empty(patches.shape[:2])
        for label in sorted(set(labels)):
            rows = [number for number, found in enumerate(labels) if found == label]
            bank: Any = self.banks[label]
            found = bank.distances(
                patches[rows], self.recipe.search, window=bank.window
            )
            limit = self.alarms()[label]
            if limit is not None:
                found = found / max(limit.threshold, torch.finfo(found.dtype).tiny)
            maps[rows] = found
        return maps

    def _predicted(
        self,
        maps: Tensor,
        samples: list[AnomalySample],
        labels: Sequence[int],
        known: Sequence[bool],
    ) -> list[AnomalySample]:
        scores = self._scores(maps.flatten(1))
        for number, sample in enumerate(samples):
            shape = sample.get('ori_shape') or sample.img_shape
            size = (int(shape[0]), int(shape[1]))
            sample.pred_map = enlarge_maps(maps[number], size, self.sigma)
            sample.pred_score = scores[number]
            label = labels[number] if known[number] else -1
            sample.pred_product = torch.tensor(label, device=maps.device)
            if label < 0 or self.alarms()[label] is not None:
                above = label < 0 or bool(scores[number] > 1)
                sample.pred_alarm = torch.tensor(above, device=maps.device)
        return samples


def _size_of(
    inputs: Mapping[str, Tensor], sample: AnomalySample | None
) -> Sequence[int] | None:
    """Height and width of a batch; of cached features what the sample says."""
    if 'images' in inputs:
        return tuple(inputs['images'].shape[-2:])
    shape = None if sample is None else sample.get('img_shape')
    return None if shape is None else tuple(map(int, shape[:2]))
