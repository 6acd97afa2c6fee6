_base_ = './coreset_b4_visa_11-1.py'
stream = dict(protocol='1-1x11')
