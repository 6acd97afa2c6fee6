_base_ = './coreset_b4_mvtec-ad_14-1.py'
stream = dict(protocol='3-3x4')
