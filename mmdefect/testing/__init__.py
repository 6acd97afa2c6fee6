"""Toy datasets that look on disk exactly like the real ones.

Used by the tests and by ``make demo`` only; nothing else imports this package.
"""

from mmdefect.testing.toy_casting import make_toy_casting
from mmdefect.testing.toy_cracks import make_toy_cracks
from mmdefect.testing.toy_deeppcb import make_toy_deeppcb
from mmdefect.testing.toy_neu_det import make_toy_neu_det
from mmdefect.testing.toy_products import make_toy_products
from mmdefect.testing.toy_visa import make_toy_visa

__all__ = [
    'make_toy_casting',
    'make_toy_cracks',
    'make_toy_deeppcb',
    'make_toy_neu_det',
    'make_toy_products',
    'make_toy_visa',
]
