# SD-IDD learns COCO's last 40 classes from a teacher of the first 40, without a stream.
_base_ = ['./gfl_r50_fpn_1x_coco_first_40_cats.py', '../_base_/methods/sd_idd.py']

# What a stream does with `method`; None refuses overrides that would have no effect.
model = _base_.method.model
model.teacher = dict(
    checkpoint='work_dirs/gfl_r50_fpn_1x_coco_first_40_cats/epoch_12.pth',
    classes=_base_.first_40)
model.bbox_head.update(num_classes=80, num_old_classes=40)
method = None

train_dataloader = dict(
    dataset=dict(
        seen_classes=_base_.first_40 + _base_.last_40, keep_classes=_base_.last_40))
val_dataloader = dict(dataset=dict(seen_classes=_base_.first_40 + _base_.last_40))
test_dataloader = val_dataloader
val_evaluator = dict(old_classes=_base_.first_40)
test_evaluator = val_evaluator
