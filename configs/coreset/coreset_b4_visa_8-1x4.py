_base_ = './coreset_b4_visa_11-1.py'
stream = dict(protocol='8-1x4')
