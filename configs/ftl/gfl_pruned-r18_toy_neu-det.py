# The toy detector on the backbone that resnet18-w16_pruned_toy_cracks.py has pruned: the
# plan of a classifier fits any network with the same layers. Weights start at random.
# The neck takes what the plan leaves of the last three stages; with this config's plan:
#   --cfg-options model.neck.in_channels="[...]", the widths that the following prints:
#   python -c "from mmdefect.models.classification.pruned import pruned_widths as w; \
#       print(w(dict(type='mmdet.ResNet', depth=18, base_channels=16, \
#       out_indices=(1, 2, 3)), 'PLAN'))"
_base_ = '../gfl/gfl_r18_fpn_toy_neu-det.py'

plan = 'work_dirs/resnet18-w16_pruned_toy_cracks/parameters-0.30/plan.json'
whole = _base_.model.backbone
model = dict(
    backbone=dict(
        _delete_=True, type='mmdefect.PrunedBackbone', backbone=whole, plan=plan))
