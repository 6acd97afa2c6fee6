_base_ = './coreset_b4_mvtec-ad_14-1.py'
stream = dict(protocol='10-5')
