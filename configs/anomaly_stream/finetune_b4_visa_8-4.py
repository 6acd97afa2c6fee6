# Eight products, then four at once. Plain fine-tuning of IUF's model.
_base_ = [
    '../_base_/models/iuf_b4.py', '../_base_/datasets/visa.py',
    '../_base_/schedules/adamw_anomaly.py', '../_base_/anomaly_runtime.py'
]
runner_type = 'mmdefect.StreamRunner'
stream = dict(
    type='mmdefect.AnomalyStream',
    protocol='8-4',
    base=dict(train_cfg=dict(max_epochs=2000)),
    increment=dict(
        # The release's schedule never fires in later steps.
        param_scheduler=[],
        train_cfg=dict(max_epochs=1000),
        # The semantic compression loss belongs to the base step.
        model=dict(compression=None)),
    steps={},
    start_from=None)
