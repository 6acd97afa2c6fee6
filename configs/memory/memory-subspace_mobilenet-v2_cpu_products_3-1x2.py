# SubspaceAD: no bank, only what no direction of the product's good patches holds.
_base_ = './memory_mobilenet-v2_cpu_products_3-1x2.py'
model = dict(search='subspace')
