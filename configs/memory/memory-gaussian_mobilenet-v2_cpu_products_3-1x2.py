# A Gaussian of the product's good patches, as PaDiM's but one for all places.
_base_ = './memory_mobilenet-v2_cpu_products_3-1x2.py'
model = dict(search='gaussian')
