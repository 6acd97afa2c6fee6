"""From the files of a data set as published to COCO JSON; the tools are thin over it."""
