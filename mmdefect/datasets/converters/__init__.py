"""From published files to COCO JSON; the tools are thin over these modules."""
