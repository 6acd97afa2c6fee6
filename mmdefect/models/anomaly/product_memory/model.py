"""One memory for every product: recognised, compared with its own, alarmed at 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from mmengine.dist import all_gather_object
from mmengine.logging import print_log
from torch import Tensor, nn

from mmdefect.models.anomaly.features import FrozenFeatures
from mmdefect.models.anomaly.product_memory.banks import ProductBanks, moved_banks
from mmdefect.models.anomaly.product_memory.learning import learn, replaced, summary
from mmdefect.models.anomaly.product_memory.note import NOTE_BYTES
from mmdefect.models.anomaly.product_memory.predicting import (
    MemoryOfProducts,
    size_of,
)
from mmdefect.models.anomaly.product_memory.recipe import Recipe
from mmdefect.models.anomaly.product_memory.seen import (
    VIEWS,
    SeenProduct,
    digest_of,
    merged,
    seen_image,
    views_of,
)
from mmdefect.registry import MODELS
from mmdefect.structures import AnomalySample
from mmdefect.utils.checks import check_choice, check_number
from mmdefect.utils.distributed import on_main_process

ROUTES = ('image', 'given', 'all')


@MODELS.register_module()
class ProductMemory(MemoryOfProducts):
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
            the border of an image, where the encoder pads; from 20 good images on.
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
        self.banks = ProductBanks(num_classes)
        self.register_buffer('note', torch.zeros(NOTE_BYTES, dtype=torch.uint8))
        self._seen: dict[int, SeenProduct] = {}
        self._agreed = False
        self._limits = None

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
        self._agree(size_of(inputs, samples[0]))
        views = [self.patches(inputs)]
        turned = views_of(inputs, self.augment)
        views += [self.patches({'images': images}) for images in turned]
        halves = torch.stack(views, dim=1).half().cpu()
        embeddings = self.embeddings(views[0]).cpu()
        for place, sample in enumerate(samples):
            name, label = str(sample.class_name), int(sample.class_label)
            seen = self._seen.setdefault(label, SeenProduct(name, self.recipe))
            image = seen_image(sample.img_path, halves[place], embeddings[place])
            seen.add(image, digest_of(inputs, place))
        return {'images': torch.tensor(float(len(samples)))}

    def _check_new(self, sample: AnomalySample) -> None:
        label = int(sample.class_label)
        if label not in self._seen and label in self.banks.filled and not self.replace:
            images = int(self.banks.of(label).facts[0])
            raise ValueError(
                f'product {sample.class_name!r} was learned already, from {images} '
                'good images: expected a new product; to learn it anew, which forgets '
                'those and sets another alarm, set model.replace=True'
            )

    @torch.no_grad()
    def finish_step(self) -> None:
        """Learn the products that all processes have seen.

        Raises:
            ValueError: One cannot be learned, see
                :func:`~mmdefect.models.anomaly.product_memory.learning.learn`, or the
                budget is too small for so many.
        """
        seen = merged(all_gather_object(self._seen))
        self._seen = {}

        def learned() -> dict[int, dict[str, Tensor]]:
            return {
                label: dict(learn(product).named_buffers())
                for label, product in seen.items()
            }

        for label, content in on_main_process(learned).items():
            if (bank := self.banks.of(label)).is_filled:
                gone = replaced(seen[label].name, bank, self.alarms()[label])
                print_log(gone, 'current')
            bank.fill(content)
        self._limits = None
        if self.budget_mb is not None:
            self.banks.share(self.budget_mb)
        for label, product in seen.items():
            told = summary(product.name, self.banks.of(label), self.alarms()[label])
            print_log(told, 'current')

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._agreed, self._limits = False, None
        super()._load_from_state_dict(*args, **kwargs)

    def make_room(self, state: Mapping[str, Tensor]) -> None:
        """Give the banks the sizes of weights that are to be loaded."""
        self.banks.make_room(state)

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
