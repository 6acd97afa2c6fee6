# GFL on the first 40 of COCO's 80 classes: the teacher of the config beside this one.
_base_ = '../gfl/gfl_r50_fpn_1x_coco.py'

first_40 = [
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck',
    'boat', 'traffic light', 'fire hydrant', 'stop sign', 'parking meter', 'bench',
    'bird', 'cat', 'dog', 'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra',
    'giraffe', 'backpack', 'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee', 'skis',
    'snowboard', 'sports ball', 'kite', 'baseball bat', 'baseball glove', 'skateboard',
    'surfboard', 'tennis racket', 'bottle'
]
last_40 = [
    'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple',
    'sandwich', 'orange', 'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake',
    'chair', 'couch', 'potted plant', 'bed', 'dining table', 'toilet', 'tv', 'laptop',
    'mouse', 'remote', 'keyboard', 'cell phone', 'microwave', 'oven', 'toaster', 'sink',
    'refrigerator', 'book', 'clock', 'vase', 'scissors', 'teddy bear', 'hair drier',
    'toothbrush'
]

model = dict(bbox_head=dict(num_classes=40))
# The whole annotation file; images and boxes of the first 40 are chosen when it is read.
seen = dict(
    type='mmdefect.DefectDetDataset', seen_classes=first_40, verify_images=None)
train_dataloader = dict(dataset=seen)
val_dataloader = dict(dataset=seen)
test_dataloader = val_dataloader
del seen
