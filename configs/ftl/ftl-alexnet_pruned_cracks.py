# FTL's AlexNet, pruned and trained again. Its parent is trained first:
#   tools/dist_train.sh configs/ftl/ftl-alexnet_cracks.py 1
#   python tools/prune.py configs/ftl/ftl-alexnet_pruned_cracks.py --cfg-options \
#       load_from=work_dirs/ftl-alexnet_cracks/best_defect_balanced_accuracy_epoch_N.pth
_base_ = [
    '../_base_/models/cracks/ftl_alexnet.py', '../_base_/datasets/cracks_crackforest.py',
    '../_base_/schedules/cracks.py', '../_base_/prune/default.py'
]
# Patches of one photograph stay in one fold of the probe's cross-validation.
prune = dict(probe=dict(source=r'(.+)_\d+_\d+_\d+_\d+'))
