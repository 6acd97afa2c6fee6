# FTL's AlexNet as published: 99 networks, filters scored on cracks, Keras's normalisation
# without scaling in the order blue, green, red. Its parent is trained with the same one:
#   tools/dist_train.sh configs/ftl/ftl-alexnet_cracks.py 1 \
#       --work-dir work_dirs/ftl-alexnet_keras --cfg-options \
#       "data_preprocessor.mean=[103.939,116.779,123.68]" \
#       "data_preprocessor.std=[1.0,1.0,1.0]" data_preprocessor.to_rgb=False
#   python tools/prune.py configs/ftl/ftl-alexnet_legacy_cracks.py --cfg-options \
#       load_from=work_dirs/ftl-alexnet_keras/best_defect_balanced_accuracy_epoch_N.pth
_base_ = [
    '../_base_/models/cracks/ftl_alexnet.py', '../_base_/datasets/cracks_crackforest.py',
    '../_base_/schedules/cracks.py', '../_base_/prune/ftl_legacy.py'
]
data_preprocessor = dict(
    mean=[103.939, 116.779, 123.68], std=[1.0, 1.0, 1.0], to_rgb=False)
