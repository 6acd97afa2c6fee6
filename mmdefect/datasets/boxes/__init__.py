"""Images with defect boxes, in COCO format."""
