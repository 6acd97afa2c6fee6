# Not of the study: LUNA learns from MobileNetV2's probabilities beside the labels. Train
# the teacher first:
#   python tools/analysis_tools/compare_classifiers.py \
#       configs/casting/mobilenet-v2_casting.py --work-dir work_dirs/casting
_base_ = './luna_casting.py'

# The teacher's; LUNA's own batch norm of the image takes any.
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
model = dict(
    type='mmdefect.DistilledClassifier',
    teacher=dict(
        type='ImageClassifier',
        backbone=dict(type='MobileNetV2'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='mmdefect.DefectClsHead', in_channels=1280)),
    teacher_checkpoint='work_dirs/casting/mobilenet-v2_casting/calibrated.pth',
    # The side of the images that it was trained with.
    teacher_size=224)
