# Three products, then three more four times. Plain fine-tuning of IUF's model.
_base_ = [
    '../_base_/models/iuf_b4.py', '../_base_/datasets/mvtec_ad.py',
    '../_base_/schedules/adamw_anomaly.py', '../_base_/anomaly_runtime.py'
]
runner_type = 'mmdefect.StreamRunner'
stream = dict(
    type='mmdefect.AnomalyStream',
    protocol='3-3x4',
    base=dict(train_cfg=dict(max_epochs=500),
        train_dataloader=dict(batch_size=20)),
    increment=dict(
        # The release's schedule never fires in later steps.
        param_scheduler=[],
        train_cfg=dict(max_epochs=200),
        # The semantic compression loss belongs to the base step.
        model=dict(compression=None)),
    steps={1: dict(train_cfg=dict(max_epochs=501))},
    start_from=None)
