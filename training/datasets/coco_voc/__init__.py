"""COCO 2017 with the classes of PASCAL VOC."""
