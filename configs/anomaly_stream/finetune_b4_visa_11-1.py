# Eleven products, then pipe_fryum. Plain fine-tuning of IUF's model.
_base_ = [
    '../_base_/models/iuf_b4.py', '../_base_/datasets/visa.py',
    '../_base_/schedules/adamw_anomaly.py', '../_base_/anomaly_runtime.py',
    '../_base_/streams/anomaly.py'
]
stream = dict(
    protocol='11-1',
    base=dict(train_cfg=dict(max_epochs=1701)),
    increment=dict(
        # The release's schedule never fires in later steps.
        param_scheduler=[],
        train_cfg=dict(max_epochs=599)))
