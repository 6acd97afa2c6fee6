"""Which images show one photograph, so that no split has it on both sides.

A vendor that augments first and splits afterwards leaves siblings of one photograph in
train and test. Here every image of a round part is described so that free rotation,
flips and brightness change nothing, siblings are found, and clusters of them are kept
together. How well that works is measured with siblings made on purpose.
"""
