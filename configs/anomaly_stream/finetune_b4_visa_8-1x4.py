# Eight products, then one more four times. Plain fine-tuning of IUF's model.
_base_ = [
    '../_base_/models/iuf_b4.py', '../_base_/datasets/visa.py',
    '../_base_/schedules/adamw_anomaly.py', '../_base_/anomaly_runtime.py'
]
runner_type = 'mmdefect.StreamRunner'
stream = dict(
    type='mmdefect.AnomalyStream',
    protocol='8-1x4',
    base=dict(train_cfg=dict(max_epochs=2000)),
    # The release stops pcb2 before it starts; it gets the epochs of pcb3.
    increment=dict(
        # The release's schedule never fires in later steps.
        param_scheduler=[],
        train_cfg=dict(max_epochs=600),
        # The semantic compression loss belongs to the base step.
        model=dict(compression=None)),
    steps={
        3: dict(train_cfg=dict(max_epochs=300)),
        4: dict(train_cfg=dict(max_epochs=201))
    },
    start_from=None)
