# The upper bound: all images of all classes so far, from scratch, the teacher's schedule.
_base_ = './finetune_r50-caffe_fpn_cpu_neu-det_3+3.py'
stream = dict(
    train_on='seen', init='scratch', increment=dict(_delete_=True))
