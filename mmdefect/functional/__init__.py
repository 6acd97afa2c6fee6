"""The maths of every paper as pure functions on tensors; imports torch alone.

Examples take the function, and ``torch``, as imported.
"""
# ruff: noqa: F401

from mmdefect.functional.box_diagnosis import (
    coco_average_precision,
    mistaken_for,
    own_images,
    recall_threshold,
)
from mmdefect.functional.box_matching import match_boxes
from mmdefect.functional.box_scores import fit_classes, fit_scale_offset
from mmdefect.functional.box_thresholds import (
    box_cost_threshold,
    choose_thresholds,
)
from mmdefect.functional.boxes import (
    aligned_giou,
    aligned_iou,
    centres,
    decode_distribution,
    pairwise_diou,
    pairwise_iou,
)
from mmdefect.functional.calibration import (
    cost_threshold,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
)
from mmdefect.functional.class_rows import (
    ExpansionReport,
    expand_by_class,
    scale_rows,
    with_fresh_classes,
)
from mmdefect.functional.classification import (
    DefectErrors,
    bootstrap_interval,
    confusion_counts,
    defect_errors,
    mcnemar_exact,
    precision_recall_f1,
    wilson_interval,
)
from mmdefect.functional.competition import compete
from mmdefect.functional.coreset import (
    k_center_greedy,
    nearest,
    nearest_distance,
    prefix_distances,
)
from mmdefect.functional.decision import (
    ftl_fraction,
    ftl_published,
    one_standard_error,
    pareto_front,
    weighted,
)
from mmdefect.functional.distillation import (
    distribution_kl,
    quality_focal,
)
from mmdefect.functional.filter_score import (
    l1_norm,
    legacy_active,
    masked_taylor,
    positive_active,
    quantile_active,
    resize_mask,
    seg_contrast,
    seg_iou,
    seg_iou_legacy,
    soft_active,
    taylor,
)
from mmdefect.functional.forgetting import (
    Distance,
    average_stage,
    backward_transfer,
    base_mean,
    distance_to_joint,
    forgetting_measure,
    gap,
    group_mean,
    last_mean,
    stage_drop,
    step_forgetting,
)
from mmdefect.functional.histogram_ranking import (
    count_pixels,
    half_codes,
    rank_histograms,
)
from mmdefect.functional.keep_counts import (
    bisect_budget,
    global_counts,
    keep_count,
    legacy_fractions,
    legacy_keep_count,
    top_channels,
    union_channels,
)
from mmdefect.functional.maps import (
    enlarge_maps,
    enlarging_matrix,
    top_mean,
)
from mmdefect.functional.moments import (
    moment_distance,
    place_weights,
    region_moments,
)
from mmdefect.functional.ranking import (
    Ranking,
    aupro,
    auroc,
    average_precision,
    f1_max,
    rank_scores,
    region_sizes,
    region_weights,
)
from mmdefect.functional.regions import (
    Region,
    candidates,
    confident,
    difficult,
    ring,
    statistical,
)
from mmdefect.functional.saliency import (
    energy,
    iop,
    iou,
    pointing_game,
    salient_region,
)
from mmdefect.functional.subspace import (
    gram,
    singular_values,
    suppression_matrix,
    suppression_weights,
    tail_below,
    tail_beyond,
)
from mmdefect.functional.tolerance import (
    ToleranceLimit,
    certifiable_rate,
    images_needed,
    tolerance_limit,
)
from mmdefect.functional.whitening import (
    Subspace,
    fit_subspace,
    project,
    residual_distance,
)
